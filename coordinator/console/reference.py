"""The paths of the reference engine's console, for tools that know them: `/_console/...`."""

import asyncio
from typing import Any

import msgspec
from msgspec import Raw, Struct

from iii_cluster.cluster.map import Role

from .failure import bad_request
from .reach import Reach
from .routes import Handler, Request, Route
from .writing import Writing, body_of

ROOT = "/_console"
FLOWS = "__console.flowConfigs"  # scope of state
TREE_TIMEOUT = 10.0  # s
MAX_PAGE = 1000

encode = msgspec.json.encode


class _Scope(Struct):
    scope: str


class _Item(Struct):
    key: str
    value: Raw


class _Cron(Struct):
    trigger_id: str
    function_id: str | None = None


class _Call(Struct):
    function_id: str
    input: Raw = msgspec.field(default_factory=lambda: Raw(b"null"))


class _Page(Struct):
    offset: int = 0
    limit: int = 50


class Reference:
    """Each handler answers JSON; raises Failure."""

    def __init__(self, reach: Reach, writing: Writing) -> None:
        self._reach = reach
        self._writing = writing

    def routes(self) -> list[Route]:
        def get(path: str, handler: Handler) -> Route:
            return Route("GET", ROOT + path, handler)

        def post(path: str, handler: Handler, *, writes: bool = False) -> Route:
            return Route("POST", ROOT + path, handler, writes)

        return [
            get("/status", self.status),
            get("/health", self._same("engine::health::check")),
            get("/functions", self.functions),
            get("/functions/{function_id}", self.function),
            get("/triggers", self.triggers),
            get("/trigger-types", self.trigger_types),
            get("/workers", self._same("engine::workers::list")),
            get("/adapters", self.adapters),
            get("/alerts", self._same("engine::alerts::list")),
            get("/sampling/rules", self._same("engine::sampling::rules")),
            post("/otel/logs", self._passed("engine::logs::list")),
            post("/otel/logs/clear", self._writing.clear_logs, writes=True),
            post("/otel/traces", self._passed("engine::traces::list")),
            post("/otel/traces/clear", self._writing.clear_traces, writes=True),
            post("/otel/traces/tree", self._passed("engine::traces::tree", TREE_TIMEOUT)),
            post("/metrics/detailed", self._passed("engine::metrics::list")),
            post("/rollups", self._passed("engine::rollups::list")),
            get("/states/groups", self.state_groups),
            post("/states/group", self.state_group),
            post("/states/{group}/item", self.set_item, writes=True),
            Route("DELETE", f"{ROOT}/states/{{group}}/item/{{key}}", self.delete_item, True),
            get("/streams/list", self.streams),
            get("/flows/config/{flow_id}", self.flow),
            post("/flows/config/{flow_id}", self.save_flow, writes=True),
            post("/cron/trigger", self.trigger_cron, writes=True),
            post("/invoke", self.invoke, writes=True),
            get("/queues", self.queues),
            get("/queues/{name}", self.queue),
            post("/queues/{name}/publish", self.publish, writes=True),
            get("/dlq", self.dead_queues),
            post("/dlq/{name}/messages", self.dead),
            post("/dlq/{name}/redrive", self._writing.redrive, writes=True),
            post("/dlq/{name}/messages/{id}/redrive", self._writing.redrive_message, writes=True),
            Route("DELETE", f"{ROOT}/dlq/{{name}}/messages/{{id}}/discard", self._writing.discard_message, True),
        ]

    def _same(self, function: str) -> Handler:
        async def handler(_request: Request) -> bytes:
            return await self._reach.call(function)

        return handler

    def _passed(self, function: str, seconds: float = 5.0) -> Handler:
        """The body is the function's input."""

        async def handler(request: Request) -> bytes:
            return await self._reach.call(function, _object(request), timeout=seconds)

        return handler

    async def _decoded(self, function: str, data: bytes = b"{}") -> Any:
        return msgspec.json.decode(await self._reach.call(function, data))

    # -- the cluster and its registry

    async def status(self, _request: Request) -> bytes:
        workers, functions = await asyncio.gather(
            self._decoded("engine::workers::list"), self._decoded("engine::functions::list")
        )
        return encode(
            {
                "workers": len(workers["workers"]),
                "functions": len(functions["functions"]),
                "status": "running",
                "metrics_available": True,
            }
        )

    async def functions(self, request: Request) -> bytes:
        internal = request.query.get("include_internal") in ("true", "1")
        return await self._reach.call("engine::functions::list", encode({"include_internal": internal}))

    async def function(self, request: Request) -> bytes:
        return await self._reach.call("engine::functions::info", encode(request.place))

    async def triggers(self, _request: Request) -> bytes:
        return encode({"triggers": (await self._decoded("engine::registered-triggers::list"))["registered_triggers"]})

    async def trigger_types(self, _request: Request) -> bytes:
        return encode({"trigger_types": (await self._decoded("engine::triggers::list"))["triggers"]})

    async def adapters(self, _request: Request) -> bytes:
        """Roles of the cluster, trigger types, and workers as one."""
        types, workers = await asyncio.gather(
            self._decoded("engine::triggers::list"), self._decoded("engine::workers::list")
        )
        current = self._reach.map
        rows = [_adapter(role, "module", f"{role}s of the cluster", len(current.of_role(role))) for role in Role]
        rows += [_adapter(row["id"], "trigger", row["description"]) for row in types["triggers"]]
        rows.append(_adapter("workers", "worker_pool", "connected workers", len(workers["workers"])))
        return encode({"adapters": rows, "count": len(rows)})

    # -- state, streams, flows

    async def state_groups(self, _request: Request) -> bytes:
        groups = (await self._decoded("state::list_groups"))["groups"]
        return encode({"groups": [{"id": group, "count": 0} for group in groups], "count": len(groups)})

    async def state_group(self, request: Request) -> bytes:
        scope = body_of(request, _Scope).scope
        items = await self._decoded("state::list", encode({"scope": scope}))
        return encode({"items": items, "count": len(items)})

    async def set_item(self, request: Request) -> bytes:
        item = body_of(request, _Item)
        return await self._set(request, request.place["group"], item.key, item.value)

    async def _set(self, request: Request, scope: str, key: str, value: Raw) -> bytes:
        said = encode({"scope": scope, "key": key, "value": value})
        return await self._writing.do(request, "state_set", scope, "state::set", said)

    async def delete_item(self, request: Request) -> bytes:
        scope, key = request.place["group"], request.place["key"]
        said = encode({"scope": scope, "key": key})
        return await self._writing.do(request, "state_delete", scope, "state::delete", said) or b"null"

    async def streams(self, _request: Request) -> bytes:
        found = (await self._decoded("stream::list_all"))["stream"]
        rows = [
            {
                "id": row["id"],
                "type": "stream",
                "description": "",
                "groups": row["groups"],
                "status": "active",
                "internal": row["id"].startswith("iii:"),
            }
            for row in found
        ]
        current = self._reach.map
        port = next((current.nodes[node].ports.get("stream") for node in current.of_role(Role.GATEWAY)), None)
        return encode({"streams": rows, "count": len(rows), "websocket_port": port})

    async def flow(self, request: Request) -> bytes:
        said = encode({"scope": FLOWS, "key": request.place["flow_id"]})
        return await self._reach.call("state::get", said) or b"null"

    async def save_flow(self, request: Request) -> bytes:
        return await self._set(request, FLOWS, request.place["flow_id"], Raw(_object(request)))

    # -- calls and queues

    async def trigger_cron(self, request: Request) -> bytes:
        called = await self._writing.fire_cron(request, body_of(request, _Cron).trigger_id)
        return encode({"success": True, "result": called.result})

    async def invoke(self, request: Request) -> bytes:
        asked = body_of(request, _Call)
        called = await self._writing.call(request, asked.function_id, "default", asked.input)
        return bytes(called.result)

    async def queues(self, _request: Request) -> bytes:
        return encode({"queues": await self._decoded("engine::queue::list_topics")})

    async def queue(self, request: Request) -> bytes:
        topic = request.place["name"]
        stats = await self._decoded("engine::queue::topic_stats", encode({"topic": topic}))
        return encode({"topic": topic, "stats": stats})

    async def publish(self, request: Request) -> bytes:
        await self._writing.publish(request)
        return b'{"success":true}'

    async def dead_queues(self, _request: Request) -> bytes:
        return encode({"topics": await self._decoded("engine::queue::dlq_topics")})

    async def dead(self, request: Request) -> bytes:
        page = body_of(request, _Page)
        if page.offset < 0 or not 0 <= page.limit <= MAX_PAGE:
            raise bad_request(f"limit is {MAX_PAGE} at most")
        said = {"topic": request.place["name"], "offset": page.offset, "limit": page.limit}
        return encode({"messages": await self._decoded("engine::queue::dlq_messages", encode(said))})


def _object(request: Request) -> bytes:
    """The body, an object. Raises Failure."""
    body = request.body or b"{}"
    try:
        msgspec.json.decode(body, type=dict[str, Raw])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise bad_request(f"the body cannot be read: {error}") from None
    return body


def _adapter(id: str, type: str, description: str, count: int | None = None) -> dict[str, Any]:
    row = {"id": id, "type": type, "status": "active", "health": "healthy", "description": description}
    return {**row, "internal": type == "module", **({} if count is None else {"count": count})}
