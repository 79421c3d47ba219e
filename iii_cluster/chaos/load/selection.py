"""What `--load` says: which kinds of load, and how much of each."""

from collections.abc import Mapping

from .workload import NAMES


class UnknownLoad(Exception):
    """A word that is no kind of load, or a factor that is no number above 0."""


def chosen(words: str | None) -> dict[str, float]:
    """Factors by name, for words such as "calls,queues=2"; None is one of each. Raises UnknownLoad."""
    if words is None:
        return dict.fromkeys(NAMES, 1.0)
    factors: dict[str, float] = {}
    for word in filter(None, (word.strip() for word in words.split(","))):
        name, given, factor = word.partition("=")
        if name not in NAMES:
            raise UnknownLoad(f"there is no load {name!r}; there are {', '.join(NAMES)}")
        factors[name] = _factor(word, factor) if given else 1.0
    if not factors:
        raise UnknownLoad(f"--load names none; there are {', '.join(NAMES)}")
    return factors


def spelt(factors: Mapping[str, float]) -> str:
    """What `chosen` understands."""
    return ",".join(name if factor == 1 else f"{name}={factor:g}" for name, factor in factors.items())


def _factor(word: str, text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise UnknownLoad(f"--load {word}: the factor has to be a number above 0")
    return factor
