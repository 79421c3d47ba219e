"""The scripts of the store."""

from hashlib import sha1
from importlib import resources

from iii_cluster.redis.script import Script

PACKAGE = "iii_cluster.telemetry.store"


class StoreScript(Script):
    """A script that may call what another file defines."""

    __slots__ = ()

    def __init__(self, name: str, defined: str) -> None:
        super().__init__(PACKAGE, name)
        first, _, rest = self.source.partition(b"\n")
        shared = resources.files(PACKAGE).joinpath(defined).read_bytes()
        self.source = first + b"\n" + shared + rest
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest().encode()


SPANS_WRITE = StoreScript("spans_write.lua", "evict.lua")
SPANS_EVICT = StoreScript("spans_evict.lua", "evict.lua")
RECORDS_WRITE = StoreScript("records_write.lua", "trim.lua")
RECORDS_TRIM = StoreScript("records_trim.lua", "trim.lua")
RECORDS_EVICT = Script(PACKAGE, "records_evict.lua")
READ = Script(PACKAGE, "read.lua")
PICK = Script(PACKAGE, "pick.lua")
