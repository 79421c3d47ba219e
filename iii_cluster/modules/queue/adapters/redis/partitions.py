"""How a queue is divided into lanes, and its jobs and its concurrency among them. Pure."""

from collections.abc import Collection, Mapping, Sequence
from zlib import crc32

from iii_cluster.modules.queue.adapter import Group, Job, Queue
from iii_cluster.modules.queue.names import group_queue, named_queue, quoted

_FIFO = "fifo:"


def lane_id(queue: str, number: int = 0) -> str:
    return f"{queue}#{number}"


def parted(lane: str) -> tuple[str, int]:
    """The queue of a lane and its number; -1 when that is no lane id."""
    queue, _, number = lane.rpartition("#")
    return queue, int(number) if number.isdecimal() else -1


def is_fifo(lane: str) -> bool:
    """Whether the lane keeps message groups apart."""
    return lane.startswith(_FIFO)


def group_lane(group: Group) -> str:
    return lane_id(group_queue(group))


def backlog_lane(topic: str) -> str:
    """Where messages wait for the topic's first group."""
    return lane_id(f"backlog:{quoted(topic)}")


def lane_of(queue: Queue, job: Job) -> str:
    """A message group always has the same lane; the jobs of a standard queue are spread."""
    key = job.group if queue.fifo else job.id
    return lane_id(queue.id, crc32(key.encode()) % queue.partitions)


def by_queue(lanes: Collection[str]) -> dict[str, list[str]]:
    """Lanes by the id of their queue."""
    found: dict[str, list[str]] = {}
    for lane in sorted(lanes):
        found.setdefault(parted(lane)[0], []).append(lane)
    return found


def lanes_of(queue: Queue, known: Mapping[str, Sequence[str]]) -> list[str]:
    """All lanes that may have jobs of a queue: those it has now, and known ones from when it was divided otherwise.

    `known` is what `by_queue` returned.
    """
    if queue.group is not None:
        return [lane_id(queue.id)]
    lanes = [lane_id(queue.id, number) for number in range(queue.partitions)]
    ids = [named_queue(queue.name, fifo=fifo) for fifo in (True, False)]
    return lanes + [lane for id in ids for lane in known.get(id, ()) if lane not in lanes]


def topic_lanes(topic: str, known: Collection[str]) -> list[str]:
    """All known lanes of a topic: its groups', those that were taken off it, too, and the backlog."""
    group = f"sub:{quoted(topic)}@"
    others = (group_lane(Group(topic)), backlog_lane(topic))
    return sorted(lane for lane in known if lane in others or lane.startswith(group))


def share(queue: Queue, lane: str) -> int:
    """Handlers at once of one lane, so that all of them together keep to the queue's limit. A lane from when the queue
    was divided otherwise has one more."""
    id, number = parted(lane)
    if id != queue.id or number >= queue.partitions:
        return min(1, queue.concurrency)
    each, left = divmod(queue.concurrency, queue.partitions)
    return each + (number < left)
