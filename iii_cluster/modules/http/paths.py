"""Routes as workers write them: `/orders/:id`, `files/*rest`. Pure."""

import re
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

import msgspec

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.module import Rival
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
MAX_PATH = 2048  # characters
MAX_SEGMENTS = 64

# What stays as it is in a literal segment, besides letters and digits: all of visible ASCII but "%" and "/".
_SAFE = "!\"#$&'()*+,-.:;<=>?@[\\]^_`{|}~"
_WILDCARD = re.compile(r"\*([A-Za-z0-9_-]*)|\{\*([A-Za-z0-9_-]+)\}")
_decode = msgspec.json.Decoder().decode


class Path(NamedTuple):
    """A template, taken apart. Literal segments are as `literal` makes them, a parameter is ":", a wildcard "*"."""

    text: str  # as the worker wrote it
    segments: tuple[str, ...]
    names: tuple[str, ...]  # of parameters and wildcard, in order; that of a bare `*` is "*"

    @property
    def wildcard(self) -> bool:
        return self.segments[-1] == "*"


class Route(NamedTuple):
    """What an `http` trigger asks for. Routes of one `shape` are told apart by nothing in a request."""

    method: str  # upper case; perhaps one that is never routed
    path: Path

    @property
    def shape(self) -> str:
        return f"{self.method}:{'/'.join(self.path.segments)}"

    def __str__(self) -> str:
        return f"{self.method} {self.path.text.removeprefix('/') or '/'}"


def parse_path(text: str) -> Path:
    """The leading slash may be missing, the trailing one counts. Raises EngineError for what could never match."""
    if len(text) > MAX_PATH:
        raise _refused(f"api_path has {len(text)} characters, at most {MAX_PATH} are accepted")
    if "?" in text or "#" in text:
        raise _refused(f"api_path '{text}' contains a '?' or '#', which end the path of a request")
    parts = text.removeprefix("/").split("/")
    if len(parts) > MAX_SEGMENTS:
        raise _refused(f"api_path has {len(parts)} segments, at most {MAX_SEGMENTS} are accepted")
    segments, names = [], []
    for number, part in enumerate(parts, 1):
        kind, name = _segment(part)
        if kind == "*" and number < len(parts):
            raise _refused(f"the wildcard '{part}' of api_path '{text}' must be its last segment")
        segments.append(kind)
        if name in names:
            raise _refused(f"api_path '{text}' has two parameters with the name '{name}'")
        if name:
            names.append(name)
    return Path(text, tuple(segments), tuple(names))


def _segment(part: str) -> tuple[str, str]:
    """(":", name), ("*", name) or (literal, "")."""
    if part.startswith(":"):
        if len(part) == 1:
            raise _refused("a parameter of api_path needs a name after its ':'")
        return ":", part[1:]
    if not part.startswith(("*", "{")):
        return literal(part), ""
    wildcard = _WILDCARD.fullmatch(part)
    if wildcard is None:
        raise _refused(f"the segment '{part}' of api_path is neither a parameter (':name') nor a wildcard ('*name')")
    return "*", wildcard[1] or wildcard[2] or "*"


def literal(segment: str) -> str:
    """A segment as literals are compared: percent-encoded where it must be, and nowhere else."""
    same = quote(unquote_to_bytes(segment), _SAFE)
    return quote(same, "") if same in (":", "*") else same


def read_route(trigger: Trigger) -> Route:
    """Raises EngineError when the config names none."""
    try:
        config = _decode(trigger.config)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"the config of the http trigger could not be parsed: {error}") from None
    return route_of(config if isinstance(config, dict) else {})


def route_of(config: dict[str, Any]) -> Route:
    text = config.get("api_path")
    if text is None:
        raise _refused("api_path is required for http triggers")
    method = config.get("http_method") or "GET"
    if not isinstance(text, str) or not isinstance(method, str):
        raise _refused("api_path and http_method of http triggers must be text")
    return Route(method.upper(), parse_path(text))


def rival(trigger: Trigger) -> Rival | None:
    """Routes of one shape compete, with the names of their parameters. None for one that could not be registered."""
    try:
        route = read_route(trigger)
    except EngineError:
        return None
    return Rival(route.shape, "/".join(route.path.names)) if route.path.names else None


def conflict(bound: Trigger, refused: Trigger) -> str:
    """Why `refused`, a rival, is not routed as long as `bound` is."""
    return (
        f"Route '{read_route(refused)}' conflicts with already-registered route '{read_route(bound)}': "
        "routes with identical structure but different path-parameter names are not supported"
    )


def _refused(reason: str) -> EngineError:
    return EngineError(errors.TRIGGER_REGISTRATION_FAILED, reason)
