"""Named deliveries: what is served under a name, and how it ended. Pure.

Two senders may tell of the same delivery: a leader and its successor, a queue's owner and the next one. Whoever comes
second hears how the first one ended, or will end.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from iii_cluster.bus.envelopes import Invoke
from iii_cluster.protocol import errors

from .worker import Worker

MAX_NAMES = 100_000  # that are remembered after their end: more than are delivered while a queue changes hands
MAX_ERROR = 512  # bytes of an error that is remembered as it is


class Leaving(Exception):
    """Some of the deliveries are about to be another gateway's."""


Reply = Callable[[str, str, bytes, bytes], None]  # (node, invocation id there, result, error)


class Delivery:
    """One that is under way. `askers` are those who wait beside, or instead of, the node that sent it first."""

    __slots__ = ("askers", "id", "name")

    def __init__(self, name: str, id: str) -> None:
        self.name = name
        self.id = id
        self.askers: list[tuple[str, str]] = []  # node, invocation id there


class Deliveries:
    """Of one gateway. `reply` answers who asks for one that is known; `serving` has the workers by invocation id."""

    def __init__(self, node: str, serving: Mapping[str, Worker], reply: Reply) -> None:
        self.under_way: dict[str, Delivery] = {}  # by invocation id
        self._node = node
        self._serving = serving
        self._reply = reply
        self._by_name: dict[str, Delivery] = {}
        self._ended: OrderedDict[str, bytes] = OrderedDict()  # name -> error; a dict is slow to give the oldest
        self._leaving: set[str] = set()  # invocation ids

    def again(self, node: str, invoke: Invoke) -> bool:
        """Whether the delivery is known; then its end is, or will be, told to `node`."""
        name = invoke.once
        error = self._ended.get(name)
        if error is not None:
            self._reply(node, invoke.id, b"", error)
            return True
        delivery = self._by_name.get(name)
        if delivery is None:
            return False
        delivery.askers.append((node, invoke.id))
        return True

    def begin(self, name: str, id: str) -> None:
        """It reaches a worker, or a module, as invocation `id`."""
        self.under_way[id] = self._by_name[name] = Delivery(name, id)

    def end(self, id: str, result: bytes, error: bytes) -> None:
        """What was under way as `id` has ended: remember how, and tell who asked since."""
        delivery = self._drop(self.under_way[id])
        self._ended[delivery.name] = _short(error)
        if len(self._ended) > MAX_NAMES:
            self._ended.popitem(last=False)
        for node, asked in delivery.askers:
            self._reply(node, asked, result, error)

    def find(self, asker: str, names: Collection[str]) -> tuple[dict[str, str], dict[str, bytes]]:
        """Those under way, name -> invocation id, whose ends are for `asker` now; and how the others ended that are
        known, name -> error, b"" for success. Raises Leaving: to be asked again."""
        serving = {name: self._by_name[name].id for name in names if name in self._by_name}
        if not self._leaving.isdisjoint(serving.values()):
            raise Leaving
        for id in serving.values():
            self._hand_to(asker, self.under_way[id])
        return serving, {name: self._ended[name] for name in names if name in self._ended}

    def _hand_to(self, asker: str, delivery: Delivery) -> None:
        worker = self._serving.get(delivery.id)
        if worker is not None and worker.serving[delivery.id] != self._node:
            worker.serving[delivery.id] = asker
        elif (asker, delivery.id) not in delivery.askers:
            delivery.askers.append((asker, delivery.id))

    # -- the worker is back on another gateway: its deliveries are remembered there from now on

    def leave(self, ids: Iterable[str]) -> None:
        """These are about to be handed over: who asks for their ends here from now on may be too late."""
        self._leaving.update(id for id in ids if id in self.under_way)

    def hand_over(self, ids: Iterable[str]) -> dict[str, list[Any]]:
        """What the other gateway has to know of these calls: invocation id -> name, askers."""
        return {id: [delivery.name, delivery.askers] for id in ids if (delivery := self.under_way.get(id)) is not None}

    def take_over(self, known: Mapping[str, list[Any]], ids: Collection[str]) -> None:
        """What `hand_over` said at the other gateway, of the calls that are served here now."""
        for id, (name, askers) in known.items():
            if id in ids:
                self.begin(name, id)
                self.under_way[id].askers += [(node, asked) for node, asked in askers]

    def forget(self, ids: Iterable[str]) -> None:
        for id in ids:
            if id in self.under_way:
                self._drop(self.under_way[id])

    def _drop(self, delivery: Delivery) -> Delivery:
        del self.under_way[delivery.id]
        self._leaving.discard(delivery.id)
        if self._by_name.get(delivery.name) is delivery:  # else it has been repeated elsewhere and came here, too
            del self._by_name[delivery.name]
        return delivery

    def reincarnate(self, old: str, new: str) -> None:
        """This gateway goes on under a new node id; others count what they sent to the old one as lost."""
        self._node = new
        for delivery in self.under_way.values():
            delivery.askers = [(new, asked) for node, asked in delivery.askers if node == old]


def _short(error: bytes) -> bytes:
    if len(error) <= MAX_ERROR:
        return error
    body = errors.read(error)
    return errors.error_body(body.code[: MAX_ERROR // 8], body.message[: MAX_ERROR // 8])
