"""The scripts of the store."""

from hashlib import sha1
from importlib import resources

from iii_cluster.redis.script import Script

PACKAGE = "iii_cluster.telemetry.store"


class SpanScript(Script):
    """A script that may call what evict.lua defines."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(PACKAGE, name)
        first, _, rest = self.source.partition(b"\n")
        shared = resources.files(PACKAGE).joinpath("evict.lua").read_bytes()
        self.source = first + b"\n" + shared + rest
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest().encode()


SPANS_WRITE = SpanScript("spans_write.lua")
SPANS_EVICT = SpanScript("spans_evict.lua")
RECORDS_WRITE = Script(PACKAGE, "records_write.lua")
RECORDS_EVICT = Script(PACKAGE, "records_evict.lua")
READ = Script(PACKAGE, "read.lua")
PICK = Script(PACKAGE, "pick.lua")
