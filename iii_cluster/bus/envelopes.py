"""Everything nodes say to each other, one small struct per operation.

Structs are arrays on the wire: a reader ignores trailing fields it does not know and fills missing ones
from their defaults, so a new field goes last and has a default (a rolling upgrade mixes N and N-1).
Payload fields are bytes of JSON that nobody on the way decodes. `conn` numbers a worker connection on its gateway.
"""

from collections.abc import Callable
from typing import Union

import msgspec
from msgspec import field

from .envelope import Envelope as Envelope

# isort: off
from .registry_envelopes import (
    Announced as Announced,
    BindTrigger as BindTrigger,
    DropFunction as DropFunction,
    DropTrigger as DropTrigger,
    DropTriggerType as DropTriggerType,
    Offered as Offered,
    OfferTrigger as OfferTrigger,
    Owner as Owner,
    ProviderAnswer as ProviderAnswer,
    PutFunction as PutFunction,
    PutService as PutService,
    PutTrigger as PutTrigger,
    PutTriggerType as PutTriggerType,
    RejectFunction as RejectFunction,
    RemoveTrigger as RemoveTrigger,
    RevokeTrigger as RevokeTrigger,
    Trigger as Trigger,
    TriggerFailed as TriggerFailed,
    UnbindTrigger as UnbindTrigger,
    WithdrawTrigger as WithdrawTrigger,
)
# isort: on

# -- invocations: gateway <-> gateway ----------------------------------------------------------------


class Invoke(Envelope, tag=1):
    """Call `function` on connection `conn` of the receiving gateway; `id` is a UUID made by the sender.

    `traceparent` and `baggage` are JSON strings, quotes included. `conn` 0 is the gateway itself: the function is a
    module's. `once` is empty, or names a delivery that two senders may tell of (a leader and its successor, two owners
    of a queue): a gateway that knows the name answers with how the first one ended, or will end.
    """

    id: str
    conn: int
    function: str
    data: bytes
    namespace: str = "default"
    traceparent: bytes = b""
    baggage: bytes = b""
    metadata: bytes = b""
    once: str = ""


class Result(Envelope, tag=2):
    """The end of an invocation; `error` wins, both empty means success without a value."""

    id: str
    result: bytes = b""
    error: bytes = b""


class Refused(Envelope, tag=3):
    """The invocation surely did not reach a worker: the connection or its function is gone. Handed back whole."""

    invoke: Invoke


class Congested(Envelope, tag=4):
    """Connection `conn` of the sender does not keep up (or does again)."""

    conn: int
    on: bool


class Deliver(Envelope, tag=5):
    """Send `frame` to the worker on connection `conn`: the answer to a call it made on an earlier connection."""

    conn: int
    frame: bytes


# -- watches: gateway, shard or coordinator <-> shard ------------------------------------------------
# Keys: "function:<namespace>/<id>", "served:<namespace>/<id>" and "triggers:<type>".


class Watch(Envelope, tag=40):
    """Ask for a snapshot of each key and for every later change. An empty function is answered, not watched; whether
    one is served is always watched."""

    epoch: int
    keys: list[str]


class Unwatch(Envelope, tag=41):
    keys: list[str]


class FunctionOwners(Envelope, tag=42):
    """Answer and push for a function key: all active owners. `elsewhere` names other namespaces when empty.

    `metadata` is the function's, JSON; empty when it has none, or its owners do not agree.
    """

    key: str
    version: int
    owners: list[Owner]
    elsewhere: list[str] = field(default_factory=list)
    metadata: bytes = b""


class TriggerSnapshot(Envelope, tag=43):
    """Answer for a triggers key: every bound trigger of the type. `stamps` are those of their registrations."""

    key: str
    version: int
    triggers: list[Trigger]
    stamps: list[int] = field(default_factory=list)


class TriggerChange(Envelope, tag=44):
    """Push for a triggers key; `version` is the previous one plus one. `stamps` are those of `put`."""

    key: str
    version: int
    put: list[Trigger] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)


class Served(Envelope, tag=45):
    """Answer and push for a served key: whether anybody serves the function, or is expected back soon."""

    key: str
    on: bool


# -- membership and cleanup: gateway <-> coordinator <-> shard ---------------------------------------


class WorkerUp(Envelope, tag=50):
    """To the leader: a connection became a worker. `again` marks a re-announcement to a new leader."""

    conn: int
    worker: str
    again: bool = False


class WorkerChanged(Envelope, tag=51):
    """To the leader: the worker announced its metadata."""

    worker: str


class WorkerDown(Envelope, tag=52):
    """To the leader: the connection is closed; clean up after it. `back`: its worker is expected to connect again."""

    conn: int
    worker: str
    back: bool = False


class WorkersAnnounced(Envelope, tag=53):
    """To a new leader: every live worker of this gateway was sent with `WorkerUp(again=True)`."""

    epoch: int


class Cleanup(Envelope, tag=54):
    """From the leader: release everything of these connections. `step`: "functions", "triggers", "invocations", "told".

    `term` is the leader's: what a deposed one says counts for nothing (0: not said). `back` are positions in
    `owners`: workers that did not leave by themselves and are expected to connect again.
    """

    job: int
    step: str
    owners: list[Owner]
    term: int = 0
    back: list[int] = field(default_factory=list)


class CleanupDone(Envelope, tag=55):
    job: int
    step: str


# -- modules: anybody -> shard -----------------------------------------------------------------------


class Nudge(Envelope, tag=70):
    """There is something to do about these keys, which the receiver owns: "<kind>:<rest>"."""

    keys: list[str]


# -- channels: gateway <-> gateway -------------------------------------------------------------------
# One end of the channel is at the sender or the receiver; the other of the two is the channel's home. `hop` is a number
# made by the end's gateway; `home` says that the sender is the home.


class ChannelData(Envelope, tag=80):
    """A message. It takes credit from the sender until `ChannelTaken` gives it back."""

    hop: int
    data: bytes
    text: bool = False
    home: bool = False


class ChannelTaken(Envelope, tag=81):
    """So many messages, of so many bytes, have left the sender's pipe."""

    hop: int
    messages: int
    size: int
    home: bool = False


class ChannelEnded(Envelope, tag=82):
    """After these messages no more will come: how the writer ended, as a WebSocket close code."""

    hop: int
    code: int
    reason: str = ""
    home: bool = False


class ChannelOpened(Envelope, tag=84):
    """To the home: the end it gave is in use. Before that nothing is sent to it, and it may be given back."""

    hop: int


class ChannelRefused(Envelope, tag=83):
    """Nobody takes messages any more. `at_once`: end the writer now, not with its next message."""

    hop: int
    code: int
    reason: str = ""
    at_once: bool = False
    home: bool = False


# -- questions with a deadline -----------------------------------------------------------------------


class Ask(Envelope, tag=60):
    """`op` names the question, `body` is its msgpack argument."""

    id: int
    op: str
    body: bytes = b"\xc0"


class Answer(Envelope, tag=61):
    id: int
    body: bytes = b"\xc0"
    error: str = ""


encode_envelope = msgspec.msgpack.Encoder().encode
# Every envelope is declared or imported above; the union is made of all of them.
decode_envelope: Callable[[bytes], Envelope] = msgspec.msgpack.Decoder(Union[*Envelope.__subclasses__()]).decode
