"""At rest all is as before: every process ready, every gateway lists exactly what live workers registered."""

from collections.abc import Iterator

from iii_cluster.chaos.history import Final, History

from .violation import Violation

READY = "everybody is ready again"
REGISTRY = "the registry is what live workers registered"

EXAMPLES = 3  # named in a text


def check(history: History) -> Iterator[Violation]:
    for process in history.not_back:
        text = f"{process.process} is not ready at the end: {'; '.join(process.reasons) or 'it does not answer'}"
        yield Violation(check=READY, at=process.at, text=text)
    for final in history.final:
        yield from _listing(final)


def _listing(final: Final) -> Iterator[Violation]:
    expected, seen = set(final.expected), set(final.seen)
    parts = [_some("missing", expected - seen), _some("stale", seen - expected)]
    if len(seen) != len(final.seen):
        parts.append("some are listed twice")
    said = ", ".join(filter(None, parts))
    if said:
        text = f"{final.what} as {final.gateway} lists them: {said}"
        yield Violation(check=REGISTRY, at=final.at, text=text)


def _some(word: str, names: set[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
    return f"{word} {', '.join(sorted(names)[:EXAMPLES])}{more}"
