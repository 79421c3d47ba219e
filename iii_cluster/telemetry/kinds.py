"""Which functions are the engine's own, and which of them are never traced. Pure."""

from functools import lru_cache

_INTERNAL = (
    "engine::", "state::", "stream::", "configuration::", "iii::", "iii-http::", "iii-state::", "iii-pubsub::",
    "iii-stream::", "iii-cron::", "iii-queue::", "iii-observability::", "bridge.", "motia::", "steps::",
)  # fmt: skip
_INTERNAL_IDS = frozenset(("publish", "motia_step_get"))
# Their spans would be read by the next call of theirs, and so on.
_OBSERVABILITY = (
    "engine::log", "engine::traces", "engine::metrics", "engine::rollups", "engine::alerts", "engine::sampling",
    "engine::health", "engine::nodes", "engine::baggage", "iii-observability::",
)  # fmt: skip


def is_internal(function: str) -> bool:
    """A function of the engine and its modules, or of a framework on top of it."""
    return function.startswith(_INTERNAL) or function in _INTERNAL_IDS


@lru_cache(4096)
def is_observability(function: str) -> bool:
    """Calls of it make no spans."""
    return function.startswith(_OBSERVABILITY)


@lru_cache(4096)
def kind_of(function: str) -> str:
    """The attribute `iii.function.kind`: user or internal."""
    return "internal" if is_internal(function) else "user"
