"""engine::log::* and engine::logs::*"""

import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Raw, structs

from iii_cluster.modules.module import Function, Request
from iii_cluster.telemetry.context import ids_of

from .inputs import ListLogs, Nothing, WriteLog
from .logs import SEVERITIES, chosen, written
from .shown import encoded
from .sources import Sources, told
from .times import now_ms
from .turns import patiently

_NULL = Raw(b"null")


class LogFunctions:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def write(self, level: str) -> Callable[[WriteLog, Request], Awaitable[object]]:
        async def handler(said: WriteLog, request: Request) -> object:
            config = self._sources.config
            if config.enabled and config.logs_enabled and random.random() < config.logs_sampling_ratio:
                trace_id, span_id = ids_of(request.traceparent)
                log = written(level, said, trace_id or None, span_id or None, time.time_ns())
                self._sources.engine.telemetry.spool.log(log)
            return _NULL

        return handler

    async def list(self, asked: ListLogs, _: Request) -> object:
        store = self._sources.logs
        if store is None:
            return {"logs": [], "total": 0, "timestamp": now_ms()}
        with told():
            kept = await store.logs()
        found, total = await patiently(chosen(kept, asked))
        return {
            "logs": await patiently(encoded(found)),
            "total": total,
            "query": structs.asdict(asked),
            "timestamp": now_ms(),
        }

    async def clear(self, _: Nothing, __: Request) -> object:
        store = self._sources.logs
        if store is None:
            return {"success": True, "message": "no logs are kept"}
        with told():
            await store.clear_logs()
        return {"success": True}

    def offered(self) -> "dict[str, Function[Any]]":
        return {
            **{
                f"engine::log::{level}": Function(self.write(level), WriteLog, f"Write a log record, {level}")
                for level in SEVERITIES
            },
            "engine::logs::list": Function(self.list, ListLogs, "Log records that are kept, the newest first"),
            "engine::logs::clear": Function(self.clear, Nothing, "Forget all log records"),
        }
