"""Calls that cannot be sent yet: how many there may be, and which of them wait for a gateway. Pure."""

from collections.abc import Iterable

from .call import Call

MAX_WAITING = 100_000  # calls, with those whose owners a shard is asked for
MAX_PARKED = 10_000  # calls that wait for a gateway: all of them are looked at several times per second
MAX_BYTES = 64 * 2**20  # of payloads, if there are several


class Waiting:
    """`len()` is the number of calls that wait for anything."""

    def __init__(self) -> None:
        self._calls = 0
        self._bytes = 0
        self._parked = 0
        self._by_node: dict[str, list[Call]] = {}  # "" for any gateway

    def __len__(self) -> int:
        return self._calls

    def enter(self, call: Call) -> bool:
        """Whether there is room for one more."""
        if self._calls >= MAX_WAITING or (self._bytes and self._bytes + call.size > MAX_BYTES):
            return False
        self._calls += 1
        self._bytes += call.size
        return True

    def leave(self, call: Call) -> None:
        self._calls -= 1
        self._bytes -= call.size

    def park(self, call: Call, node: str) -> bool:
        """Have it wait for a gateway, if there is room."""
        if self._parked >= MAX_PARKED or not self.enter(call):
            return False
        self._parked += 1
        self._by_node.setdefault(node, []).append(call)
        return True

    def take(self, nodes: Iterable[str] | None = None) -> list[Call]:
        """Those that wait for these nodes, or for any; they do not any more."""
        wanted = list(self._by_node if nodes is None else nodes)
        taken = [call for node in wanted for call in self._by_node.pop(node, ())]
        self._parked -= len(taken)
        for call in taken:
            self.leave(call)
        return taken

    def clear(self) -> None:
        self._calls = self._bytes = self._parked = 0
        self._by_node.clear()
