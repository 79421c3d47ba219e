"""Scripts that write data together with its events."""

from hashlib import sha1
from importlib import resources

from iii_cluster.redis.script import Script

_APPEND = resources.files("iii_cluster.modules.events").joinpath("append.lua").read_bytes()


class EventScript(Script):
    """A script that may call `append(stream, lane, triggers, contexts, event)`, see append.lua.

    Its first line is `#!lua`.
    """

    __slots__ = ()

    def __init__(self, package: str, name: str) -> None:
        super().__init__(package, name)
        first, _, rest = self.source.partition(b"\n")
        self.source = first + b"\n" + _APPEND + rest
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest().encode()
