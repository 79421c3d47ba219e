"""Names in Redis. The hash tag keeps everything of one cluster in one Redis Cluster slot."""


class Keys:
    """Key and channel names of the cluster called `name`."""

    def __init__(self, name: str) -> None:
        self.prefix = f"{{{name}}}"
        self.leases = f"{self.prefix}:leases"  # zset: node id -> expiry, ms of Redis' clock
        self.nodes = f"{self.prefix}:nodes"  # hash: node id -> NodeInfo
        self.gone = f"{self.prefix}:gone"  # zset: id of a removed node -> when to forget it, ms of Redis' clock
        self.leader = f"{self.prefix}:leader"  # string with a time to live: node id of the leader
        self.term = f"{self.prefix}:term"  # integer: term of the newest leader
        self.memory = f"{self.prefix}:memory"  # string: made when Redis has none, so that losing it is noticed
        self.map = f"{self.prefix}:map"  # hash: term, epoch, body
        self.workers = f"{self.prefix}:workers"  # hash: worker id -> WorkerRecord
        self.functions_digest = f"{self.prefix}:functions-digest"  # string: digest of the last functions_changed event
        self.durable_triggers = f"{self.prefix}:durable-triggers"  # hash: trigger id -> BindTrigger
        self.broadcast = f"{self.prefix}:all"  # channel

    def census(self, gateway: str) -> str:
        """String with a time to live: connections, registrations and calls in flight of one gateway."""
        return f"{self.prefix}:census:{gateway}"

    def inbox(self, node: str) -> str:
        """Channel of one node; node ids are new at every process start."""
        return f"{self.prefix}:node:{node}"
