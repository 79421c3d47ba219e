"""engine::traces::*"""

import time
from collections.abc import Sequence
from typing import Any

from iii_cluster.modules.module import Function, Request
from iii_cluster.telemetry.records import Span
from iii_cluster.telemetry.store.store import Status

from . import spans, tree
from .groups import grouped
from .inputs import GroupTraces, ListTraces, Nothing, Tree
from .shown import ShownSpan, encoded, encoded_trees, shown_span
from .sources import Sources, told
from .summaries import summaries
from .turns import patiently

CLEAR_FAILED = "trace_storage_clear_failed"


def storage(sources: Sources, status: Status) -> dict[str, Any]:
    """Of the spans that are kept: how many bytes, and whether that is all there was."""
    return {
        "archive": "degraded" if status.last_error else "active",
        "completeness": "unknown" if status.known_dropped_spans else "complete",
        "known_dropped_spans": status.known_dropped_spans,
        "physical_bytes": status.span_bytes,
        "max_disk_bytes": sources.config.span_bytes,
        "last_error": status.last_error or None,
    }


class TraceFunctions:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def list(self, asked: ListTraces, _: Request) -> object:
        now = time.time_ns()
        with told():
            kept = await self._spans(asked)
            status = await self._sources.spans.status()
        found = await patiently(spans.listed(kept, asked, now))
        tags = await patiently(spans.tags_of(kept, {trace for trace, _ in found.roots}))

        def row(span: Span) -> ShownSpan:
            is_root = (span.trace_id, span.span_id) in found.roots
            return shown_span(span, tags.get(span.trace_id) if is_root else None)

        return {
            "spans": await patiently(encoded(found.page, row)),
            "total": found.total,
            "offset": asked.offset or 0,
            "limit": spans.DEFAULT_LIMIT if asked.limit is None else asked.limit,
            "storage": storage(self._sources, status),
        }

    async def summaries(self, asked: ListTraces, _: Request) -> object:
        now = time.time_ns()
        with told():
            kept = await self._spans(asked)
            status = await self._sources.spans.status()
        found = await patiently(summaries(kept, asked, now))
        return {
            "traces": await patiently(encoded(found.page)),
            "total": found.total,
            "offset": asked.offset or 0,
            "limit": spans.DEFAULT_LIMIT if asked.limit is None else asked.limit,
            "storage": storage(self._sources, status),
        }

    async def _spans(self, asked: ListTraces) -> Sequence[Span]:
        store = self._sources.spans
        if asked.traces is None:
            return await store.spans()
        return [span for trace in dict.fromkeys(asked.traces) for span in await store.trace(trace)]

    async def tree(self, asked: Tree, _: Request) -> object:
        with told():
            kept = await self._sources.spans.trace(asked.trace_id)
            status = await self._sources.spans.status()
        roots = await patiently(tree.tree(kept, self._sources.config.collapse_spans))
        return {"roots": await patiently(encoded_trees(roots)), "storage": storage(self._sources, status)}

    async def group_by(self, asked: GroupTraces, _: Request) -> object:
        now = time.time_ns()
        with told():
            kept = await self._sources.spans.spans()
            status = await self._sources.spans.status()
        groups = await patiently(grouped(kept, asked, now))
        return {"groups": await patiently(encoded(groups)), "storage": storage(self._sources, status)}

    async def clear(self, _: Nothing, __: Request) -> object:
        store = self._sources.spans
        with told(CLEAR_FAILED):
            await store.clear_spans()
        return {"success": True}

    def offered(self) -> "dict[str, Function[Any]]":
        return {
            "engine::traces::list": Function(self.list, ListTraces, "Traces, or spans, that are kept"),
            "engine::traces::summaries": Function(
                self.summaries, ListTraces, "Traces, each judged by all of its spans"
            ),
            "engine::traces::tree": Function(self.tree, Tree, "One trace, its spans below those that caused them"),
            "engine::traces::group_by": Function(self.group_by, GroupTraces, "Traces by the value of an attribute"),
            "engine::traces::clear": Function(self.clear, Nothing, "Forget all spans"),
        }
