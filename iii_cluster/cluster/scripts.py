"""The Lua scripts of membership, with typed arguments and replies. All time they compare is Redis' own clock.

What they write is small and bounded, so they are flagged to run even when Redis has no memory left: a full server must
not depose the leader or expire leases. They are refused by a replica, also those that only read: what it knows may be
old. Both come with the `#!lua` line, which takes Redis 7 or any Valkey.
"""

from collections.abc import Collection, Iterable, Mapping
from importlib import resources
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from .keys import Keys
from .map import ClusterMap, NodeInfo, encode_map

GONE_MS = 24 * 3600 * 1000  # how long a removed node id is remembered; a process paused longer would come back
ANY_SERVER = ""
NO_SERVER = "none"
_encode = msgspec.msgpack.Encoder().encode
_decode_info = msgspec.msgpack.Decoder(NodeInfo).decode


class Renewal(NamedTuple):
    """What a renewal found. `body` is empty unless the stored map is newer than the one the node has."""

    renewed: bool
    server: str  # another one means another Redis, or lost memory: it may have forgotten the newest
    term: int
    epoch: int
    body: bytes


class Lease(NamedTuple):
    ms_left: int
    info: NodeInfo | None


class LeaseScan(NamedTuple):
    """All leases at one moment. `current` is false when the scanning leader's term is over."""

    current: bool
    server: str  # another one means another Redis, or lost memory: leases may be old or missing
    leases: dict[str, Lease]
    gone: set[str]  # nodes of the leader's map that left or were removed


class Leadership(NamedTuple):
    """`term` is 0 when `holder` is somebody else."""

    term: int
    server: str
    holder: str


class Scripts:
    """The scripts of one cluster on one Redis client. Every method may raise RedisError."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._lease_renew = redis.register_script(_source("lease_renew"))
        self._lease_scan = redis.register_script(_source("lease_scan"))
        self._lease_remove = redis.register_script(_source("lease_remove"))
        self._leader_acquire = redis.register_script(_source("leader_acquire"))
        self._leader_release = redis.register_script(_source("leader_release"))
        self._map_write = redis.register_script(_source("map_write"))
        self._map_restore = redis.register_script(_source("map_restore"))
        self._records_write = redis.register_script(_source("records_write"))
        self._digest_write = redis.register_script(_source("digest_write"))
        self._redis = redis
        self._keys = keys

    async def renew_lease(self, node: NodeInfo, ttl_ms: int, seen: tuple[int, int], predecessor: str = "") -> Renewal:
        """Renew (or take) the node's lease; `seen` is the version of the newest map it has.

        The lease of `predecessor`, an earlier id of the same process, ends for good.
        """
        keys = self._keys
        renewed, server, term, epoch, body = await self._lease_renew(
            keys=[keys.leases, keys.nodes, keys.gone, keys.map, keys.memory],
            args=[node.id, ttl_ms, _encode(node), *seen, predecessor, GONE_MS],
        )
        return Renewal(bool(renewed), server.decode(), term, epoch, body)

    async def scan_leases(self, term: int, nodes: Iterable[str], departed: Collection[str] = ()) -> LeaseScan:
        """`nodes` are the members of the leader's map: the reply says which of them are gone for good.

        A lease of one of `departed` counts as expired: Redis has forgotten that it ended.
        """
        keys = self._keys
        current, server, flat, gone = await self._lease_scan(
            keys=[keys.leases, keys.nodes, keys.gone, keys.term, keys.memory], args=[term, *nodes]
        )
        leases = _leases(flat)
        for node in leases.keys() & set(departed):
            leases[node] = leases[node]._replace(ms_left=0)
        return LeaseScan(bool(current), server.decode(), leases, {node.decode() for node in gone})

    async def remove_leases(self, nodes: Iterable[str], term: int = 0) -> bool:
        """End leases for good. `term` is the leader's, 0 for nodes that are over already. False: the term is over."""
        keys = self._keys
        return bool(
            await self._lease_remove(keys=[keys.leases, keys.nodes, keys.gone, keys.term], args=[term, GONE_MS, *nodes])
        )

    async def acquire_leadership(
        self, node: str, ttl_ms: int, held: int, seen: int, server: str = ANY_SERVER
    ) -> Leadership:
        """Take or renew the leader lease: `held` is the term led in (0: none), `seen` the highest term known.

        Who does not lead takes the lease only if `server` answers.
        """
        keys = self._keys
        term, answering, holder = await self._leader_acquire(
            keys=[keys.leader, keys.term, keys.memory], args=[node, ttl_ms, held, seen, server]
        )
        return Leadership(term, answering.decode(), holder.decode())

    async def release_leadership(self, node: str) -> bool:
        return bool(await self._leader_release(keys=[self._keys.leader], args=[node]))

    async def write_map(self, new: ClusterMap, after: int | None = None) -> bool:
        """Compare-and-set on (term, epoch): `after` is the epoch of the map it replaces, one less when not given.

        False: the term is over or another map is stored.
        """
        before = new.epoch - 1 if after is None else after
        return bool(await self._map_write(keys=self._map_keys, args=[new.term, new.epoch, encode_map(new), before]))

    async def restore_map(self, known: ClusterMap) -> bool:
        """Put `known` back if Redis has none or an older one. False: what is stored is at least as new."""
        return bool(await self._map_restore(keys=self._map_keys, args=[known.term, known.epoch, encode_map(known)]))

    async def read_map(self) -> bytes | None:
        body: bytes | None = await self._redis.hget(self._keys.map, "body")  # type: ignore[assignment]
        return body

    async def clock(self) -> int:
        """ms since 1970."""
        seconds, micros = await self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def write_records(self, term: int, stored: Mapping[str, bytes], erased: Collection[str]) -> bool:
        """Store and erase worker records, bodies by worker id, as the leader of `term`. False: that term is over."""
        pairs = [part for record in stored.items() for part in record]
        return bool(
            await self._records_write(
                keys=[self._keys.workers, self._keys.term], args=[term, len(stored), *pairs, *erased]
            )
        )

    async def write_digest(self, term: int, digest: str) -> bool:
        """Keep the digest of the functions last told of, as the leader of `term`. False: that term is over."""
        return bool(await self._digest_write(keys=[self._keys.functions_digest, self._keys.term], args=[term, digest]))

    @property
    def _map_keys(self) -> list[Any]:
        return [self._keys.map, self._keys.term]


def _source(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")


def _leases(flat: list[Any]) -> dict[str, Lease]:
    rows = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return {node.decode(): Lease(ms_left, _decode_info(info) if info else None) for node, ms_left, info in rows}
