"""A published message reaches a subscriber at most once; how many do is a figure, not a rule."""

from collections import defaultdict
from collections.abc import Iterator

from iii_cluster.chaos.effects import Heard

from .evidence import Evidence
from .violation import Violation

ONCE = "a message reaches a subscriber at most once"


def check(evidence: Evidence) -> Iterator[Violation]:
    heard: dict[tuple[str, int], list[Heard]] = defaultdict(list)
    for one in evidence.history.heard:
        heard[evidence.connections[one.connection].client, one.n].append(one)
    for (client, n), times in heard.items():
        if len(times) > 1:
            when = ", ".join(f"{one.at:.2f} s" for one in times)
            text = f"message {n} reached {client} {len(times)} times, at {when}"
            yield Violation(check=ONCE, at=times[1].at, text=text)
