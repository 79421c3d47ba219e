"""`expose_functions`: which functions everybody on a listener may call, by id or by metadata.

match("api::*")                                      ids, `*` stands for any text
{match: "shop::*", namespace: shop}                  the same, of another namespace than `default`
{metadata: {public: true, name: 'match("*x*")'}}     all of these, in the metadata that the function has
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from iii_cluster.modules.imports import BadConfig

_MATCH = re.compile(r"""\s*match\(\s*(?:"([^"]*)"|'([^']*)')\s*\)\s*""")
_KEYS = ("match", "metadata", "namespace")


class Filter(Struct, frozen=True):
    """Functions of `namespace` whose id fits `ids`, or whose metadata has all of `metadata`."""

    namespace: str = "default"
    ids: re.Pattern[str] | None = None
    exact: str = ""  # the only id that fits, "" when there may be others
    metadata: Mapping[str, Any] | None = None  # key -> the value it must have, or a pattern that text must fit

    def takes_id(self, function: str) -> bool:
        return self.ids is not None and self.ids.fullmatch(function) is not None

    def takes_metadata(self, metadata: object) -> bool:
        """`metadata` is the function's, decoded."""
        if self.metadata is None or not isinstance(metadata, dict):
            return False
        return all(key in metadata and _fits(metadata[key], wanted) for key, wanted in self.metadata.items())


def parse_filters(written: Iterable[str | Mapping[str, Any]]) -> tuple[Filter, ...]:
    """Raises BadConfig."""
    return tuple(_parse(one) for one in written)


def check_filters(written: Iterable[str | Mapping[str, Any]]) -> None:
    """Raises BadConfig, with the place of `rbac.expose_functions` in a listener's config."""
    try:
        parse_filters(written)
    except BadConfig as error:
        raise BadConfig(error.message, "rbac", "expose_functions", hint=error.hint) from None


def wildcard(pattern: str) -> re.Pattern[str]:
    """`*` stands for any text, everything else for itself; to be used with `fullmatch`.

    Each part is looked for once, from where the last one was found: ids of workers cannot make it slow.
    """
    first, *rest = map(re.escape, pattern.split("*"))
    if not rest:
        return re.compile(first)
    parts = "".join(f"(?>.*?{part})" for part in rest[:-1] if part)
    return re.compile(f"{first}{parts}.*{rest[-1]}", re.DOTALL)


def match_of(written: str) -> str | None:
    """The pattern in `match("...")`, None when the text is no such thing."""
    found = _MATCH.fullmatch(written)
    return None if found is None else found[1] if found[1] is not None else found[2]


def _parse(written: str | Mapping[str, Any]) -> Filter:
    if isinstance(written, str):
        return _of_ids("default", written)
    for key in written:
        if key not in _KEYS:
            raise BadConfig(f"unknown key `{key}` in a filter of `expose_functions`", hint="known: " + ", ".join(_KEYS))
    namespace, match, metadata = written.get("namespace", "default"), written.get("match"), written.get("metadata")
    if not isinstance(namespace, str) or not namespace.strip():
        raise BadConfig("the `namespace` of a filter must be text")
    if (match is None) == (metadata is None):
        raise BadConfig("a filter of `expose_functions` needs either `match` or `metadata`")
    if match is not None:
        if not isinstance(match, str):
            raise BadConfig("the `match` of a filter must be text")
        return _of_ids(namespace, match)
    if not isinstance(metadata, dict) or not metadata:
        raise BadConfig("the `metadata` of a filter must be a mapping that is not empty")
    return Filter(namespace, metadata={str(key): _wanted(value) for key, value in metadata.items()})


def _of_ids(namespace: str, written: str) -> Filter:
    found = match_of(written)
    pattern = written if found is None else found
    return Filter(namespace, wildcard(pattern), "" if "*" in pattern else pattern)


def _wanted(value: Any) -> Any:
    pattern = match_of(value) if isinstance(value, str) else None
    return value if pattern is None else wildcard(pattern)


def _fits(value: object, wanted: object) -> bool:
    if isinstance(wanted, re.Pattern):
        return isinstance(value, str) and wanted.fullmatch(value) is not None
    return type(value) is type(wanted) and msgspec.json.encode(value) == msgspec.json.encode(wanted)
