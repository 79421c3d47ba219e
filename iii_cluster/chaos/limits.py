"""How long things may take, in seconds: what the checks measure against."""

AFTER_LEASE = 1.0  # from the end of a dead gateway's lease until nobody fails because of it
RECONNECT = 4.0  # for a worker to come back to a gateway that serves again, and to be known
BARRIER = 2.0  # longest hold of lookups while slots change hands
CALL = 25.0  # a call whose caller stayed connected has ended by then
GIVE_UP = 6.0  # a caller that lost its connection waits so long for an answer on the new one
EVENT = 12.0  # for a worker event to reach a subscriber
EDGE = 0.25  # between two clocks' views of one moment: a frame on its way when a connection ended
SETTLE = 30.0  # at the end, until everybody is ready and knows the same registry
EFFECT = 45.0  # at the end, until every job is done, every change told and every stream client up to date
