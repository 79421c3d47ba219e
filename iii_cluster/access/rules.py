"""What one connection may do. Pure."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum

import msgspec
from msgspec import Struct

from iii_cluster.config.settings import Rbac, WorkerListener
from iii_cluster.protocol.messages import MAX_ID

from .filters import Filter, match_of, parse_filters, wildcard
from .grants import UNASKED, Grants

# Calls of these need no permission: every client makes them.
INFRASTRUCTURE = frozenset(
    {
        "engine::channels::create",
        "engine::workers::register",
        *(f"engine::log::{level}" for level in ("info", "warn", "error", "debug", "trace")),
        *(f"engine::baggage::{name}" for name in ("get", "set", "get_all")),
    }
)
# Their events tell of what everybody in the cluster does, and of stream clients what the auth function said of them,
# so a list of allowed types has to name them.
TELLING_TYPES = frozenset(
    {"engine::functions-available", "engine::workers-available", "log", "trace", "stream:join", "stream:leave"}
)

# Decisions a connection remembers; beyond that it forgets them all.
MAX_REMEMBERED = 10_000


class Verdict(Enum):
    ALLOWED = "allowed"
    FORBIDDEN = "remove from rbac.forbidden_functions"
    HIDDEN = "add to rbac.expose_functions"
    METADATA = "its metadata decides"


class Hooks(Struct, frozen=True):
    """Functions that decide about registrations, "" for none."""

    function: str = ""
    trigger: str = ""
    trigger_type: str = ""

    def __bool__(self) -> bool:
        return bool(self.function or self.trigger or self.trigger_type)


class ListenerRules:
    """The part of the rules that is the same for all connections of a listener."""

    def __init__(self, listener: WorkerListener, name: str) -> None:
        """Raises BadConfig."""
        rbac = listener.rbac
        self.restricted = rbac is not None
        self.realm = name if rbac is not None else ""
        self.middleware = listener.middleware_function_id
        self.auth = rbac.auth_function_id if rbac is not None else ""
        self.hooks = _hooks(rbac) if rbac is not None else Hooks()
        self.filters: dict[str, list[Filter]] = {}
        for filter in parse_filters(rbac.expose_functions) if rbac is not None else ():
            self.filters.setdefault(filter.namespace, []).append(filter)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self.restricted or bool(self.middleware)


def _hooks(rbac: Rbac) -> Hooks:
    return Hooks(
        rbac.on_function_registration_function_id,
        rbac.on_trigger_registration_function_id,
        rbac.on_trigger_type_registration_function_id,
    )


def deciding_functions(listeners: Iterable[WorkerListener]) -> frozenset[str]:
    """All that decide about access on any of them: whoever serves one could let in anybody."""
    ids = set()
    for listener in listeners:
        rules = ListenerRules(listener, "any")
        ids |= {rules.middleware, rules.auth, rules.hooks.function, rules.hooks.trigger, rules.hooks.trigger_type}
    return frozenset(ids - {""})


class Access:
    """The rights of one connection."""

    __slots__ = (
        "_decided",
        "_exposed",
        "_forbidden",
        "_grants",
        "_rules",
        "allow_functions",
        "allow_types",
        "context",
        "namespaces",
        "prefix",
        "trigger_types",
    )

    def __init__(self, rules: ListenerRules, grants: Grants = UNASKED) -> None:
        self._rules = rules
        self._forbidden = frozenset(grants.forbidden_functions)
        self._grants = _compiled(grants)
        self._decided: dict[tuple[str, str], Verdict] = {}
        self._exposed: dict[tuple[str, str], tuple[bytes, bool]] = {}  # with the metadata that was looked at
        self.allow_functions = grants.allow_function_registration
        self.allow_types = grants.allow_trigger_type_registration
        self.prefix = f"{grants.function_registration_prefix}::" if grants.function_registration_prefix else ""
        self.trigger_types = None if grants.allowed_trigger_types is None else frozenset(grants.allowed_trigger_types)
        self.namespaces = frozenset(grants.namespaces)  # that it may announce; empty: any
        self.context = msgspec.Raw(bytes(grants.context))

    @property
    def restricted(self) -> bool:
        """False: only a middleware is asked."""
        return self._rules.restricted

    @property
    def realm(self) -> str:
        return self._rules.realm

    @property
    def hooks(self) -> Hooks:
        return self._rules.hooks

    @property
    def middleware(self) -> str:
        return self._rules.middleware

    # -- calls -------------------------------------------------------------------------------------

    def verdict(self, namespace: str, function: str) -> Verdict:
        """By id alone."""
        if len(function) > MAX_ID or len(namespace) > MAX_ID:  # nothing is called so, and remembering it takes memory
            return Verdict.HIDDEN if self._rules.restricted else Verdict.ALLOWED
        key = (namespace, function)
        known = self._decided.get(key)
        if known is None:
            if len(self._decided) >= MAX_REMEMBERED:
                self._decided.clear()
            known = self._decided[key] = self._decide(namespace, function)
        return known

    def _decide(self, namespace: str, function: str) -> Verdict:
        if function in self._forbidden:
            return Verdict.FORBIDDEN
        if not self._rules.restricted or function in INFRASTRUCTURE:
            return Verdict.ALLOWED
        exact, patterns = self._grants.get(namespace, _NOTHING)
        filters = self._rules.filters.get(namespace, ())
        if (
            function in exact
            or any(one.takes_id(function) for one in patterns)
            or any(one.takes_id(function) for one in filters)
        ):
            return Verdict.ALLOWED
        return Verdict.METADATA if any(one.metadata is not None for one in filters) else Verdict.HIDDEN

    def exposes(self, namespace: str, function: str, metadata: bytes) -> bool:
        """Whether its metadata (JSON, empty for none) exposes a function; for those whose verdict is `METADATA`."""
        if not metadata:
            return False
        key = (namespace, function)
        known = self._exposed.get(key)
        if known is not None and known[0] == metadata:
            return known[1]
        try:
            decoded = msgspec.json.decode(metadata)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        fits = any(one.takes_metadata(decoded) for one in self._rules.filters.get(namespace, ()))
        if len(self._exposed) >= MAX_REMEMBERED:
            self._exposed.clear()
        self._exposed[key] = (metadata, fits)
        return fits

    def may_call(self, namespace: str, function: str, metadata: Callable[[], bytes]) -> bool:
        """`metadata` is asked only when it decides."""
        verdict = self.verdict(namespace, function)
        if verdict is Verdict.METADATA:
            return self.exposes(namespace, function, metadata())
        return verdict is Verdict.ALLOWED

    @property
    def by_metadata(self) -> bool:
        """Whether any function is exposed by its metadata."""
        return any(one.metadata is not None for filters in self._rules.filters.values() for one in filters)

    def names(self, function: str) -> bool:
        """Whether a function of `default` is allowed by its full id, not by a wildcard or metadata."""
        exact, _ = self._grants.get("default", _NOTHING)
        filters = self._rules.filters.get("default", ())
        return function in exact or any(one.exact == function for one in filters)

    # -- registrations -----------------------------------------------------------------------------

    def may_use_type(self, type: str, canonical: Callable[[str], str] = str) -> bool:
        """Whether it may register triggers of a type; `canonical` knows the other names of types."""
        if not self._rules.restricted:
            return True
        wanted = canonical(type)
        if self.trigger_types is None:
            return wanted not in TELLING_TYPES
        return any(canonical(one) == wanted for one in self.trigger_types)


_NOTHING: tuple[frozenset[str], tuple[Filter, ...]] = (frozenset(), ())


def _compiled(grants: Grants) -> Mapping[str, tuple[frozenset[str], tuple[Filter, ...]]]:
    """By namespace: exact ids, patterns."""
    compiled = {}
    for namespace, ids in grants.namespaces.items():
        patterns = [match_of(one) or one for one in ids]
        exact = frozenset(one for one in patterns if "*" not in one)
        rest = tuple(Filter(namespace, wildcard(one)) for one in patterns if "*" in one)
        compiled[namespace] = (exact, rest)
    exact, rest = compiled.get("default", _NOTHING)
    compiled["default"] = (exact | frozenset(grants.allowed_functions), rest)
    return compiled


def denial(function: str, verdict: Verdict) -> str:
    """What the caller is told."""
    way = Verdict.FORBIDDEN if verdict is Verdict.FORBIDDEN else Verdict.HIDDEN
    return f"function '{function}' not allowed ({way.value})"
