"""The scripts of streams: those that tell of something begin with what tell.lua defines."""

from hashlib import sha1
from importlib import resources

from iii_cluster.modules.events.script import EventScript
from iii_cluster.redis.script import Script

PACKAGE = "iii_cluster.modules.stream"


class TellingScript(EventScript):
    """A script that may call `tell`, see tell.lua."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(PACKAGE, name)
        own = resources.files(PACKAGE).joinpath(name).read_bytes().partition(b"\n")[2]
        tell = resources.files(PACKAGE).joinpath("tell.lua").read_bytes()
        self.source = self.source.removesuffix(own) + tell + own
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest().encode()


SET = TellingScript("set.lua")
SWAP = TellingScript("swap.lua")
DELETE = TellingScript("delete.lua")
PUBLISH = TellingScript("publish.lua")
SNAPSHOT = Script(PACKAGE, "snapshot.lua")
