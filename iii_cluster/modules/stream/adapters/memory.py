"""Streams in the memory of one gateway, for trials: gone with it, and unknown to others."""

from collections.abc import AsyncIterator, Mapping, Sequence

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.module import NoConfig
from iii_cluster.modules.stream.adapter import Snapshot, StreamAdapter, array
from iii_cluster.modules.stream.publisher import Notice, Publisher, created, deleted, updated


class MemoryStreams(StreamAdapter):
    Config = NoConfig

    def __init__(self, config: NoConfig, engine: Engine) -> None:
        super().__init__(config, engine)
        self._data: dict[str, dict[str, dict[str, bytes]]] = {}  # stream -> group -> item -> value

    async def start(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def get(self, stream: str, group: str, item: str) -> bytes | None:
        return self._group(stream, group).get(item)

    async def set(self, stream: str, group: str, item: str, value: bytes, notice: Notice) -> bytes | None:
        old = self._group(stream, group).get(item)
        await self._store(stream, group, item, (value,), notice)
        return old

    async def delete(self, stream: str, group: str, item: str, notice: Notice) -> bytes | None:
        old = self._group(stream, group).get(item)
        if old is not None:
            groups = self._data[stream]
            del groups[group][item]
            if not groups[group]:
                del groups[group]
            if not groups:
                del self._data[stream]
            await self._publisher.publish(notice, deleted(old))
        return old

    async def swap(
        self,
        stream: str,
        group: str,
        item: str,
        expected: bytes | None,
        steps: Sequence[bytes],
        notice: Notice,
    ) -> tuple[bool, bytes | None]:
        old = self._group(stream, group).get(item)
        if old != expected:
            return False, old
        await self._store(stream, group, item, steps, notice)
        return True, None

    async def values(self, stream: str, group: str) -> AsyncIterator[Sequence[bytes]]:
        yield list(self._group(stream, group).values())

    async def snapshot(self, stream: str, group: str, item: str | None, after: int) -> Snapshot:
        moment = await self._publisher.moment(stream, group, after)
        values = self._group(stream, group)
        return Snapshot(moment, array(list(values.values())) if item is None else values.get(item, b"null"))

    async def groups(self, stream: str) -> Sequence[str]:
        return list(self._data.get(stream, ()))

    async def streams(self) -> Mapping[str, Sequence[str]]:
        return {stream: list(groups) for stream, groups in self._data.items()}

    def _group(self, stream: str, group: str) -> Mapping[str, bytes]:
        return self._data.get(stream, {}).get(group, {})

    async def _store(self, stream: str, group: str, item: str, steps: Sequence[bytes], notice: Notice) -> None:
        """Publishing begins before anybody else runs: messages are in the order of the writes."""
        new = item not in self._group(stream, group)
        self._data.setdefault(stream, {}).setdefault(group, {})[item] = steps[-1]
        told = [created(steps[0]) if new else updated(steps[0]), *map(updated, steps[1:])]
        await self._publisher.publish(notice, *told)
