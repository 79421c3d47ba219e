"""A Lua script in a file of its own, run by its hash."""

from hashlib import sha1
from importlib import resources


class Script:
    """`Script("iii_cluster.modules.state", "set.lua")`; the file's head says what KEYS and ARGV are."""

    __slots__ = ("name", "sha", "source")

    def __init__(self, package: str, name: str) -> None:
        self.name = name
        self.source = resources.files(package).joinpath(name).read_bytes()
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest().encode()  # what Redis knows it by

    def __repr__(self) -> str:
        return f"Script({self.name})"
