"""Function ids that workers under rules may not register, because of what calls them. Pure."""

import re
from collections.abc import Collection, Iterable

# Old clients provide a stream's data by functions of such names: whoever serves one is given what others store there.
_STREAM_PROVIDER = re.compile(r".+\.(?:get|set|delete|update|list|list_groups)", re.DOTALL)


class Reserved:
    def __init__(self, deciding: Collection[str], modules: Iterable[str] = ()) -> None:
        """`deciding` functions are asked about access by somebody; `modules` are the functions of modules."""
        self._deciding = frozenset(deciding) - {""}
        self._families = frozenset({"engine", *(name.partition("::")[0] for name in modules if "::" in name)})

    def __contains__(self, function: tuple[str, str]) -> bool:
        """Of (namespace, id). Also what is not there now but would be taken for the engine's: `engine::log::info`."""
        namespace, id = function
        if id in self._deciding:
            return True
        if namespace != "default":
            return False
        family, separator, _ = id.partition("::")
        return bool(separator and family in self._families) or _STREAM_PROVIDER.fullmatch(id) is not None
