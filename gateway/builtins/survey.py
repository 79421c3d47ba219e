"""Questions to the whole cluster: all shards or all gateways of the current map, with a deadline."""

from typing import Any

import msgspec

from iii_cluster.bus.ask import Asker, AskError
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.cluster.membership import Membership
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

# How long the cluster has to answer, seconds; a slot that changes hands may hold an answer for a while.
DEADLINE = 4.0

Row = dict[str, Any]


class Rows(list[Row]):
    """Collected rows; `missing` names the nodes that did not answer in time."""

    def __init__(self, rows: list[Row], missing: set[str]) -> None:
        super().__init__(rows)
        self.missing = missing


def reply(body: Row, *parts: Rows) -> bytes:
    """A JSON answer, marked partial when some node did not contribute."""
    missing = sorted(set().union(*(part.missing for part in parts)))
    if missing:
        body = {**body, "partial": True, "missing_nodes": missing}
    return msgspec.json.encode(body)


class Survey:
    """Asks on behalf of one gateway."""

    def __init__(self, asker: Asker, membership: Membership) -> None:
        self._asker = asker
        self._membership = membership

    @property
    def map(self) -> ClusterMap:
        return self._membership.map

    async def shards(self, op: str, body: object = None) -> Rows:
        return await self._all(Role.SHARD, op, body)

    async def gateways(self, op: str, body: object = None) -> Rows:
        return await self._all(Role.GATEWAY, op, body)

    async def _all(self, role: Role, op: str, body: object) -> Rows:
        answers, missing = await self._asker.ask_all(self.map.of_role(role), op, body, timeout=DEADLINE)
        return Rows([row for rows in answers.values() for row in rows], missing)

    async def owner(self, key: str, op: str, body: object) -> list[Row]:
        """Ask the shard that owns `key`; again when the slot moves meanwhile."""
        for _ in range(2):
            shard = self.map.owner(key)
            if not shard:
                break
            try:
                answer: list[Row] = await self._asker.ask(shard, op, body, timeout=DEADLINE)
                return answer
            except AskError:
                continue  # it moved
            except TimeoutError:
                break
        raise EngineError(errors.TIMEOUT, f"no shard answered for {key}")

    async def worker_names(self) -> dict[str, str]:
        """Names of all announced workers by worker id."""
        rows = await self.gateways("workers.names")
        return {worker: name for row in rows for worker, name in row.items()}


def internal(name: str) -> bool:
    """Hidden from default listings."""
    return name.startswith("engine::") and not name.startswith("engine::queue::")


def matches(search: str | None, *texts: str | None) -> bool:
    """Case-insensitive substring in any of the texts."""
    return search is None or any(search.lower() in text.lower() for text in texts if text)


def pick_namespace(what: str, name: str, namespace: str | None, rows: list[Row]) -> Row:
    """The row of `namespace`; without one, `default` first, else the only one. Raises EngineError(NOT_FOUND)."""
    by_namespace = {row["namespace"]: row for row in rows}
    names = ", ".join(sorted(by_namespace))
    if namespace is not None:
        if namespace in by_namespace:
            return by_namespace[namespace]
        where = f" It is registered in namespace(s): {names}." if names else ""
        raise EngineError(errors.NOT_FOUND, f"{what} {name} not found in namespace {namespace}.{where}")
    if "default" in by_namespace:
        return by_namespace["default"]
    if len(by_namespace) == 1:
        return next(iter(by_namespace.values()))
    if by_namespace:
        raise EngineError(errors.NOT_FOUND, f"{what} {name} is ambiguous, it is registered in namespaces: {names}")
    raise EngineError(errors.NOT_FOUND, f"{what} {name} not found")
