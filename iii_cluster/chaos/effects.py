"""What became of what modules were asked to do, as records. Times are seconds since the start of the run."""

from msgspec import Struct

OPEN = -1.0


class Queue(Struct, tag="queue", kw_only=True):
    """A queue, or a topic. Each of its functions has to see every job."""

    name: str
    at: float
    functions: list[str]
    concurrency: int = 0  # of each function, in the whole cluster; 0: not known
    attempts: int = 0  # until a job is a dead letter; 0: not known
    fifo: bool = False  # the jobs of a group one after the other


class Job(Struct, tag="job", kw_only=True):
    """A numbered job, enqueued or published by call number `call`: acknowledged when that ended well.

    The jobs of a group come from one caller, who waits for each answer before the next.
    """

    n: int
    call: int
    at: float
    queue: str
    group: str = ""
    fails: int = 0  # attempts of each function that fail, before one succeeds
    doomed: bool = False  # every attempt fails
    wait: float = 0.0  # s an attempt takes


class Attempt(Struct, tag="attempt", kw_only=True):
    """A job as one handler had it; open when the handler was never done with it."""

    job: int
    function: str
    connection: int
    began: float
    ended: float = OPEN
    ok: bool = False


class DeadLetter(Struct, tag="dead_letter", kw_only=True):
    """A job in the dead-letter list of its queue at the end."""

    job: int
    queue: str
    at: float
    error: str
    attempts: int


class CronJob(Struct, tag="cron_job", kw_only=True):
    """A job for every second of the time between `at` and `until`, which several workers registered alike."""

    function: str
    at: float
    until: float = OPEN


class Tick(Struct, tag="tick", kw_only=True):
    """One firing of a job, as a handler had it. `scheduled` is by the clock of the engine's host."""

    function: str
    connection: int
    at: float
    scheduled: float
    ended: float = OPEN  # when the handler was done


class Count(Struct, tag="count", kw_only=True):
    """An increment of a number by one (`read`: a look at it), by call number `call`.

    `value` is what was answered, None where nothing was.
    """

    call: int
    at: float
    key: str
    read: bool
    value: int | None = None


class Total(Struct, tag="total", kw_only=True):
    """A number at the end, as one gateway reads it; None if it could not be read."""

    key: str
    gateway: str
    at: float
    value: int | None


class Noticed(Struct, tag="noticed", kw_only=True):
    """A change of a number, as the handler of a trigger had it."""

    key: str
    connection: int
    at: float
    value: int


class Change(Struct, tag="change", kw_only=True):
    """Item of a stream set to number `v`, or deleted, by call number `call`. An item's changes come from one caller,
    who waits for each answer before the next."""

    call: int
    at: float
    item: str
    v: int
    deleted: bool = False


class Viewing(Struct, tag="viewing", kw_only=True):
    """One connection of a stream client."""

    id: int
    viewer: str
    gateway: str
    opened: float
    closed: float = OPEN


class Shown(Struct, tag="shown", kw_only=True):
    """A message as a stream client had it; of a `sync` each item is noted that is in it, or was there before."""

    viewing: int
    at: float
    item: str
    event: str  # "sync", "create", "update", "delete"
    timestamp: int
    v: int | None  # None where there is none


class View(Struct, tag="view", kw_only=True):
    """What a stream client had in the end, item by item, and what was stored."""

    viewer: str
    at: float
    items: dict[str, int]
    stored: dict[str, int]


class Publication(Struct, tag="publication", kw_only=True):
    """A numbered message, published by call number `call`."""

    n: int
    call: int
    at: float


class Heard(Struct, tag="heard", kw_only=True):
    """A published message as one of the subscribers had it."""

    n: int
    connection: int
    at: float


class Visit(Struct, tag="visit", kw_only=True):
    """One HTTP connection of a client, from the attempt to make it to its end."""

    id: int
    client: str
    gateway: str  # "" where several share what they listen at
    opened: float
    closed: float = OPEN


class Request(Struct, tag="request", kw_only=True):
    """An HTTP request; `n` is unique in the run, travels in its path and must come back."""

    n: int
    visit: int
    kind: str  # as of calls: replicated or single
    function: str  # of its route
    at: float
    wait: float = 0.0  # s its handler was asked to take
    reused: bool = False  # the connection had served another one before
    ended: float = OPEN
    status: int = 0  # 0: no response
    code: str = ""  # of an error response, or what became of the connection
    answer: int | None = None


class Handled(Struct, tag="handled", kw_only=True):
    """A request as a handler had it."""

    n: int
    connection: int
    at: float


class Routed(Struct, tag="routed", kw_only=True):
    """The route of a function at the end, as one gateway answers it; status 0 is no response."""

    gateway: str
    function: str
    at: float
    status: int


class Transfer(Struct, tag="transfer", kw_only=True):
    """Numbered messages through a channel that call number `call` created at gateway `home`.

    Codes are those the two ends saw their sockets closed with, 0 where there was no socket.
    """

    n: int
    call: int
    at: float
    home: str
    writer: str  # gateway
    reader: str  # gateway
    total: int
    sent: int = 0
    received: int = 0  # in order
    wrong: str = ""  # the first message that was not the one that was due
    finished: bool = False  # the writer closed by itself, after the last message
    write_code: int = 0
    read_code: int = 0
    trouble: str = ""  # why an end could not be taken
    ended: float = OPEN
