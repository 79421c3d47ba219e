"""Histories of chaos runs made by hand: a sound one to start from, and what happens in it."""

from typing import Any

from iii_cluster.chaos.history import (
    OK,
    Call,
    Connection,
    Execution,
    Final,
    History,
    Injected,
    MapSeen,
    Registration,
    Told,
)

TTL = 2.0
END = 60.0
NODES = {"gateway-1": "gateway-gateway1", "gateway-2": "gateway-gateway2"}


class Story:
    """Two gateways; "owner-1" and "owner-2" serve `f` at one each, "local" serves `g` at gateway-1."""

    def __init__(self) -> None:
        self.history = History(lease_ttl=TTL, ended=END)
        self.caller = self.connect("caller", "gateway-1")
        self.other = self.connect("other", "gateway-2")
        self.first = self.connect("owner-1", "gateway-1")
        self.second = self.connect("owner-2", "gateway-2")
        self.local = self.connect("local", "gateway-1")
        for owner, function in ((self.first, "f"), (self.second, "f"), (self.local, "g")):
            self.register(owner, function)

    def connect(self, client: str, gateway: str, opened: float = 1.0, **fields: Any) -> Connection:
        number = len(self.history.connections) + 1
        worker = f"{gateway[:-2]}{gateway[-1]}-{number}"  # its first eight letters are those of the gateway's node
        made = Connection(id=number, client=client, gateway=gateway, worker=worker, opened=opened, **fields)
        self.history.connections.append(made)
        return made

    def register(self, owner: Connection, function: str, since: float = 1.1, **fields: Any) -> Registration:
        fields = {"confirmed": since + 0.1, **fields}
        made = Registration(connection=owner.id, function=function, since=since, **fields)
        self.history.registrations.append(made)
        return made

    def call(self, began: float, ended: float, outcome: str = OK, function: str = "f", **fields: Any) -> Call:
        """A sound one unless `fields` say otherwise."""
        n = len(self.history.calls) + 1
        fields = {"kind": "replicated", "connection": self.caller.id, "answers": 1, **fields}
        fields.setdefault("answer", n if outcome == OK else None)
        made = Call(n=n, function=function, began=began, ended=ended, outcome=outcome, **fields)
        self.history.calls.append(made)
        return made

    def execute(self, call: Call, owner: Connection, at: float = 0.0) -> None:
        self.history.executions.append(Execution(n=call.n, connection=owner.id, at=at or call.began))

    def fault(self, kind: str, began: float, over: float, *victims: str, **fields: Any) -> Injected:
        gateways = [name for name in victims if name.startswith("gateway")]
        fields = {"healed": over, "nodes": [NODES.get(name, name) for name in victims], **fields}
        index = len(self.history.faults)
        made = Injected(
            index=index, kind=kind, victims=list(victims), gateways=gateways, began=began, over=over, **fields
        )
        self.history.faults.append(made)
        return made

    def map(self, at: float, term: int, epoch: int, **fields: Any) -> MapSeen:
        slots = {"shard-a": [[0, 511]], "shard-b": [[512, 1023]]}
        nodes = [NODES["gateway-1"], NODES["gateway-2"], "shard-a", "shard-b", "coordinator-a"]
        fields = {"process": "gateway-1", "pid": 1, "leader": "coordinator-a", "nodes": nodes, "slots": slots, **fields}
        made = MapSeen(at=at, term=term, epoch=epoch, **fields)
        self.history.maps.append(made)
        return made

    def tell(self, subscriber: Connection, at: float, event: str, worker: Connection) -> None:
        told = Told(connection=subscriber.id, at=at, event=f"worker_{event}", worker=worker.worker)
        self.history.told.append(told)

    def final(self, expected: list[str], seen: list[str]) -> None:
        self.history.final.append(Final(gateway="gateway-1", what="functions", at=END, expected=expected, seen=seen))
