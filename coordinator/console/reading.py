"""What can be looked at: the same topics for requests and for live sockets."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct, structs

from iii_cluster import __version__
from iii_cluster.cluster.map import Role

from . import filters
from .failure import Failure
from .filters import as_input
from .reach import Reach
from .watcher import Watcher

OVERVIEW_AGE = 0.2  # s: whoever asks more often gets the same again
TREE_TIMEOUT = 10.0  # s
MAX_COUNTED = 200  # queues whose jobs are counted
AT_ONCE = 8  # of them
SCHEMAS = ("request_format", "response_format")  # of a function: its own topic has them, the list would be large

Answer = Awaitable[bytes]
encode = msgspec.json.encode


class Topic(NamedTuple):
    """`name` is what live sockets call what is at `path`; it is looked at every `interval` seconds while somebody
    watches. `stamped`: answers tell when they were made."""

    name: str
    path: str
    filter: Any  # type of what `fetch` takes
    fetch: Callable[[Any], Answer]
    interval: float
    stamped: bool = False


class _Functions(Struct, omit_defaults=True):
    functions: list[dict[str, Any]]
    partial: bool = False
    missing_nodes: list[str] = []


class Reading:
    """Each handler answers JSON; raises Failure."""

    def __init__(self, reach: Reach, watcher: Watcher) -> None:
        self._reach = reach
        self._watcher = watcher
        self._overview = b""
        self._overview_at = -OVERVIEW_AGE

    def topics(self) -> list[Topic]:
        none = filters.NoFilter
        return [
            Topic("overview", "/api/overview", none, self.overview, 1.0),
            Topic("node", "/api/nodes/{id}", filters.ById, self.node, 2.0),
            Topic("functions", "/api/functions", filters.Functions, self.functions, 2.0),
            Topic("function", "/api/functions/{namespace}/{id}", filters.Function, self.function, 2.0),
            Topic("workers", "/api/workers", none, self._same("engine::workers::list"), 2.0, True),
            Topic("triggers", "/api/triggers", filters.Triggers, self.triggers, 2.0),
            Topic("trigger-types", "/api/trigger-types", none, self.trigger_types, 5.0),
            Topic("queues", "/api/queues", none, self.queues, 1.0),
            Topic("queue", "/api/queues/{name}", filters.Queue, self.queue, 1.0),
            Topic("dead", "/api/queues/{name}/dead", filters.Dead, self.dead, 1.0),
            Topic("streams", "/api/streams", none, self.streams, 2.0),
            Topic("stream", "/api/streams/{stream}/{group}", filters.Stream, self.stream, 1.0),
            Topic("states", "/api/states", none, self.states, 2.0),
            Topic("state", "/api/states/{scope}", filters.Scope, self.state, 1.0),
            Topic("value", "/api/states/{scope}/{key}", filters.Key, self.value, 1.0),
            Topic("traces", "/api/traces", filters.Traces, self._same("engine::traces::summaries"), 1.0),
            Topic("trace", "/api/traces/{trace_id}", filters.Trace, self.trace, 1.0),
            Topic(
                "trace-groups", "/api/trace-groups", filters.TraceGroups, self._same("engine::traces::group_by"), 2.0
            ),
            Topic("logs", "/api/logs", filters.Logs, self._same("engine::logs::list"), 1.0, True),
            Topic("alerts", "/api/alerts", none, self._same("engine::alerts::list"), 2.0, True),
            Topic("metrics", "/api/metrics", none, self._same("engine::metrics::list"), 2.0, True),
            Topic("rollups", "/api/rollups", filters.Rollups, self._same("engine::rollups::list"), 5.0, True),
            Topic("sampling", "/api/sampling", none, self._same("engine::sampling::rules"), 5.0, True),
            Topic("health", "/api/health", none, self._same("engine::health::check"), 5.0, True),
        ]

    def _same(self, function: str) -> Callable[[Struct], Answer]:
        """What the function answers."""

        async def fetch(asked: Struct) -> bytes:
            return await self._reach.call(function, as_input(asked))

        return fetch

    # -- the cluster

    async def overview(self, _asked: filters.NoFilter) -> bytes:
        now = time.monotonic()
        if now - self._overview_at >= OVERVIEW_AGE:
            self._overview, self._overview_at = encode(self._watcher.overview()), now
        return self._overview

    async def node(self, asked: filters.ById) -> bytes:
        series = self._watcher.history.node_series(asked.id)
        if series is None and asked.id not in self._reach.map.nodes:
            raise Failure(404, "not_found", f"there is no node {asked.id}")
        return encode({"id": asked.id, "series": series})

    def session(self, *, writable: bool, tokens: bool, token_shown: bool, hint: str) -> bytes:
        current = self._reach.map
        ports = next((current.nodes[gateway].ports for gateway in current.of_role(Role.GATEWAY)), {})
        return encode(
            {
                "cluster": self._reach.node.settings.cluster,
                "version": __version__,
                "node": self._reach.node.info.id,
                "writable": writable,
                "tokens": tokens,
                "token_shown": token_shown,
                "hint": hint,
                "ports": {name: ports.get(name) for name in ("worker", "http", "stream")},
            }
        )

    # -- the registry

    async def functions(self, asked: filters.Functions) -> bytes:
        answer = await self._reach.call("engine::functions::list", as_input(structs.replace(asked, internal=True)))
        listed = msgspec.json.decode(answer, type=_Functions)
        if not asked.internal:  # what workers registered, which is what the overview counts
            listed.functions = [row for row in listed.functions if row["worker_ids"]]
        for row in listed.functions:
            for schema in SCHEMAS:
                row.pop(schema, None)
            row["numbers"] = self._numbers(row["namespace"], row["function_id"])
        return encode(listed)

    async def function(self, asked: filters.Function) -> bytes:
        said = encode({"function_id": asked.id, "namespace": asked.namespace})
        detail = await self._reach.call("engine::functions::info", said)
        return encode({"function": Raw(detail), "numbers": self._numbers(asked.namespace, asked.id)})

    def _numbers(self, namespace: str, function: str) -> dict[str, Any] | None:
        return self._watcher.history.numbers(function if namespace == "default" else f"{namespace}/{function}")

    async def triggers(self, asked: filters.Triggers) -> bytes:
        return _renamed(await self._reach.call("engine::registered-triggers::list", as_input(asked)), "triggers")

    async def trigger_types(self, _asked: filters.NoFilter) -> bytes:
        return _renamed(await self._reach.call("engine::triggers::list"), "trigger_types")

    # -- modules

    async def queues(self, _asked: filters.NoFilter) -> bytes:
        rows: list[dict[str, Any]] = msgspec.json.decode(await self._reach.call("engine::queue::list_topics"))
        turns = asyncio.Semaphore(AT_ONCE)

        async def counted(row: dict[str, Any]) -> dict[str, Any]:
            async with turns:
                return row | await self._counts(row["name"])

        unknown = dict.fromkeys(("depth", "consumer_count", "dlq_depth"))
        found = await asyncio.gather(*(counted(row) for row in rows[:MAX_COUNTED]))
        return encode({"queues": [*found, *(row | unknown for row in rows[MAX_COUNTED:])]})

    async def queue(self, asked: filters.Queue) -> bytes:
        return encode({"name": asked.name, **await self._counts(asked.name)})

    async def _counts(self, queue: str) -> dict[str, Any]:
        answer = await self._reach.call("engine::queue::topic_stats", encode({"topic": queue}))
        counts: dict[str, Any] = msgspec.json.decode(answer)
        return counts

    async def dead(self, asked: filters.Dead) -> bytes:
        said = {"topic": asked.name, "offset": asked.offset, "limit": asked.limit}
        messages = await self._reach.call("engine::queue::dlq_messages", encode(said))
        return encode({"messages": Raw(messages), "offset": asked.offset, "limit": asked.limit})

    async def streams(self, _asked: filters.NoFilter) -> bytes:
        return _renamed(await self._reach.call("stream::list_all"), "streams", "stream")

    async def stream(self, asked: filters.Stream) -> bytes:
        said = encode({"stream_name": asked.stream, "group_id": asked.group})
        return _items(await self._reach.call("stream::list", said))

    async def states(self, _asked: filters.NoFilter) -> bytes:
        groups = msgspec.json.decode(await self._reach.call("state::list_groups"))["groups"]
        return encode({"groups": groups, "count": len(groups)})

    async def state(self, asked: filters.Scope) -> bytes:
        return _items(await self._reach.call("state::list", encode({"scope": asked.scope})))

    async def value(self, asked: filters.Key) -> bytes:
        value = await self._reach.call("state::get", encode({"scope": asked.scope, "key": asked.key}))
        return encode({"value": Raw(value or b"null")})

    async def trace(self, asked: filters.Trace) -> bytes:
        return await self._reach.call("engine::traces::tree", as_input(asked), timeout=TREE_TIMEOUT)


def _renamed(answer: bytes, name: str, old: str = "") -> bytes:
    """An answer whose list has a name of its own here; the rest of it stays."""
    body = msgspec.json.decode(answer, type=dict[str, Raw])
    known = old or next(key for key in ("registered_triggers", "triggers") if key in body)
    return encode({name: body.pop(known), **body})


def _items(answer: bytes) -> bytes:
    return encode({"items": Raw(answer), "count": len(msgspec.json.decode(answer, type=list[Raw]))})
