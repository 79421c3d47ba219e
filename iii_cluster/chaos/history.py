"""What happened, as records. Times are seconds since the start of the run; -1 means not yet."""

from typing import Any

import msgspec
from msgspec import Struct

from . import effects

OPEN = effects.OPEN
FOREVER = float("inf")
TAG = 8  # letters of a worker's id, the first ones: the tag of its gateway's node

OK = "ok"
UNANSWERED = "unanswered"  # given up by its caller, who lost the connection meanwhile

# Kinds of calls.
REPLICATED = "replicated"  # an owner at every gateway
SINGLE = "single"  # one owner, wherever it is connected
LOCAL = "local"  # caller and owner stay at one gateway
REMOTE = "remote"  # they stay at two
FIRST = "first"  # never called before: the route has to be looked up
CHURN = "churn"  # the function comes and goes
TRIGGER = "trigger"  # a provider fires a trigger
ENGINE = "engine"  # a listing; not judged, its answer is
STEADY = (REPLICATED, SINGLE, LOCAL, REMOTE)
# Calls of modules' functions, answered by the gateway they are made at.
QUEUE = "queue"
TOPIC = "topic"
STATE = "state"
STREAM = "stream"
PUBSUB = "pubsub"
CHANNEL = "channel"
MODULES = (QUEUE, TOPIC, STATE, STREAM, PUBSUB, CHANNEL)


class Connection(Struct, tag="connection", kw_only=True):
    """One socket of a client, from `workerregistered` to its end."""

    id: int
    client: str
    gateway: str  # process
    worker: str  # id the gateway gave; begins with its TAG letters
    opened: float
    leaving: float = OPEN  # when the client began to leave of its own accord
    closed: float = OPEN
    how: str = ""  # why it ended, as the client saw it


class Registration(Struct, tag="registration", kw_only=True):
    """A function on a connection. It also ends when the connection does."""

    connection: int
    function: str
    since: float
    subscribed: bool = False  # it is told of workers that come and go
    confirmed: float = OPEN  # from when on the cluster surely knew it
    until: float = OPEN


class Call(Struct, tag="call", kw_only=True):
    """`n` is unique in the run, travels in the payload and must come back."""

    n: int
    kind: str
    function: str
    connection: int  # of the caller
    began: float
    ended: float = OPEN
    outcome: str = ""  # "ok", an error code, or "unanswered"
    message: str = ""
    answer: int | None = None  # the number that came back
    answered_as: str = ""  # function named by the answer
    answers: int = 0
    wait: float = 0.0  # s its owner was asked to take
    orphaned: bool = False  # its caller's connection was lost while it waited


class Execution(Struct, tag="execution", kw_only=True):
    n: int
    connection: int  # of the owner
    at: float


class Stray(Struct, tag="stray", kw_only=True):
    """An answer to a call that was never made."""

    connection: int
    at: float
    text: str


class Told(Struct, tag="told", kw_only=True):
    """A `workers-available` event as a subscriber got it."""

    connection: int  # of the subscriber
    at: float
    event: str
    worker: str


class Injected(Struct, tag="fault", kw_only=True):
    """A fault that was carried out, or `skipped` with a reason."""

    index: int
    kind: str
    victims: list[str] = []  # processes or clients
    gateways: list[str] = []  # processes among them whose workers feel it
    nodes: list[str] = []  # node ids the victims had
    began: float = OPEN
    over: float = OPEN  # taken back
    healed: float = OPEN  # taken back, and what was stopped serves again
    forgot: bool = False  # Redis lost its memory
    skipped: str = ""


class MapSeen(Struct, tag="map", kw_only=True):
    """A cluster map as one process held it, when it changed."""

    process: str
    pid: int
    at: float
    term: int
    epoch: int
    leader: str
    nodes: list[str]
    slots: dict[str, list[list[int]]]  # node -> ranges, first and last


class Elected(Struct, tag="elected", kw_only=True):
    """A node said in its log that it leads."""

    process: str
    node: str
    at: float
    term: int


class Ready(Struct, tag="ready", kw_only=True):
    """What a process says of its readiness, when that changed."""

    process: str
    at: float
    ready: bool
    reasons: list[str] = []


class Late(Struct, tag="late", kw_only=True):
    """This program itself was held up by the machine: no time it measured around then is sharp."""

    at: float
    seconds: float


class Final(Struct, tag="final", kw_only=True):
    """Part of the registry at the end, as one gateway lists it, against what live clients registered."""

    gateway: str
    what: str
    at: float
    expected: list[str]
    seen: list[str]


class NotBack(Struct, tag="not_back", kw_only=True):
    """A process that was not ready again at the end."""

    process: str
    at: float
    reasons: list[str]


class History(Struct, kw_only=True):
    """Everything of one run, each list in the order of its beginnings."""

    lease_ttl: float
    connections: list[Connection] = []
    registrations: list[Registration] = []
    calls: list[Call] = []
    executions: list[Execution] = []
    strays: list[Stray] = []
    told: list[Told] = []
    faults: list[Injected] = []
    maps: list[MapSeen] = []
    elected: list[Elected] = []
    ready: list[Ready] = []
    late: list[Late] = []
    final: list[Final] = []
    not_back: list[NotBack] = []
    queues: list[effects.Queue] = []
    jobs: list[effects.Job] = []
    attempts: list[effects.Attempt] = []
    dead_letters: list[effects.DeadLetter] = []
    cron_jobs: list[effects.CronJob] = []
    ticks: list[effects.Tick] = []
    counts: list[effects.Count] = []
    totals: list[effects.Total] = []
    noticed: list[effects.Noticed] = []
    changes: list[effects.Change] = []
    viewings: list[effects.Viewing] = []
    shown: list[effects.Shown] = []
    views: list[effects.View] = []
    publications: list[effects.Publication] = []
    heard: list[effects.Heard] = []
    visits: list[effects.Visit] = []
    requests: list[effects.Request] = []
    handled: list[effects.Handled] = []
    routed: list[effects.Routed] = []
    transfers: list[effects.Transfer] = []
    ended: float = OPEN  # the end of the run; open while it goes on

    @property
    def last_loss(self) -> float:
        """When Redis last lost its memory, 0 if it never did."""
        losses = (max(end(fault.over), end(fault.healed)) for fault in self.faults if fault.forgot)
        return max(losses, default=0.0)

    def records(self) -> list[Any]:
        """All records by time."""
        lists = (getattr(self, name) for name in self.__struct_fields__)
        return sorted((record for records in lists if isinstance(records, list) for record in records), key=_when)


def end(moment: float) -> float:
    """The moment something ended, FOREVER while it has not."""
    return FOREVER if moment == OPEN else moment


def to_lines(history: History) -> bytes:
    """One JSON object per record and line."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in history.records())


def _when(record: Any) -> float:
    return next(float(getattr(record, name)) for name in ("at", "began", "since", "opened") if hasattr(record, name))
