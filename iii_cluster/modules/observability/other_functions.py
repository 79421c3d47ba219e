"""engine::health::check, engine::nodes::list, engine::sampling::rules and engine::baggage::*"""

from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import structs

from iii_cluster import __version__
from iii_cluster.modules.module import Function, Request
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.store.store import Status

from .inputs import BaggageItem, BaggageKey, Nothing
from .nodes import NODES, list_nodes
from .sources import Sources, told
from .times import now_ms
from .trace_functions import storage

NOTE = "the baggage of a call goes with that call only: send it in `baggage` of the calls that you make"


def baggage_of(raw: bytes) -> dict[str, str]:
    """The members of a baggage that travels with a call, a JSON string or empty."""
    try:
        said = msgspec.json.decode(raw, type=str) if raw else ""
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    members = (member.partition(";")[0].partition("=") for member in said.split(","))
    return {name.strip(): unquote(value.strip()) for name, equals, value in members if equals and name.strip()}


class OtherFunctions:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def health(self, _: Nothing, __: Request) -> object:
        """Always succeeds."""
        config, store = self._sources.config, self._sources.any
        status: Status | None = None
        problem = ""
        try:
            with told():
                status = await store.status() if store is not None else None
        except EngineError as error:
            problem = error.message
        if status is not None:
            problem = status.last_error
        archive = storage(self._sources, status) if status is not None else {"archive": "degraded"}
        spans_kept = config.enabled and config.exporter != "otlp"
        return {
            "status": "degraded" if problem else "healthy",
            "components": {
                "otel": _component(
                    config.enabled,
                    {"enabled": config.enabled, "service_name": config.service_name, "exporter": config.exporter},
                ),
                "metrics": _component(
                    self._sources.metrics is not None, {"stored_metrics": status.metric_points if status else 0}
                ),
                "logs": _component(self._sources.logs is not None, {"stored_logs": status.logs if status else 0}),
                "spans": _component(
                    spans_kept,
                    {
                        "stored_spans": status.spans if status else 0,
                        "hot_bytes": status.span_bytes if status else 0,
                        "archive": {**archive, "last_error": problem or None},
                    },
                ),
            },
            "timestamp": now_ms(),
            "version": __version__,
        }

    async def nodes(self, _: Nothing, __: Request) -> object:
        return await list_nodes(self._sources.engine)

    async def sampling(self, _: Nothing, __: Request) -> object:
        config = self._sources.config
        sampling = config.sampling
        ratio = 1.0 if config.sampling_ratio is None else config.sampling_ratio
        if sampling is not None and sampling.default is not None:
            ratio = sampling.default
        return {
            "traces": {
                "default_ratio": ratio,
                "rules": [structs.asdict(rule) for rule in sampling.rules] if sampling is not None else [],
                "parent_based": sampling.parent_based if sampling is not None else True,
            },
            "logs": {"sampling_ratio": config.logs_sampling_ratio},
            "timestamp": now_ms(),
        }

    async def baggage(self, asked: BaggageKey, request: Request) -> object:
        return {"value": baggage_of(request.baggage).get(asked.key)}

    async def set_baggage(self, _: BaggageItem, __: Request) -> object:
        return {"success": True, "note": NOTE}

    async def all_baggage(self, _: Nothing, request: Request) -> object:
        return {"baggage": baggage_of(request.baggage)}

    def offered(self) -> dict[str, Function[Any]]:
        return {
            "engine::health::check": Function(self.health, Nothing, "How the collection of telemetry is doing"),
            NODES: Function(self.nodes, Nothing, "The processes of the cluster, with their numbers"),
            "engine::sampling::rules": Function(self.sampling, Nothing, "Which traces and logs are recorded"),
            "engine::baggage::get": Function(self.baggage, BaggageKey, "One member of the baggage of this call"),
            "engine::baggage::set": Function(self.set_baggage, BaggageItem, "Does nothing for later calls"),
            "engine::baggage::get_all": Function(self.all_baggage, Nothing, "The baggage of this call"),
        }


def _component(enabled: bool, details: dict[str, Any]) -> dict[str, Any]:
    return {"status": "healthy" if enabled else "disabled", "details": details}
