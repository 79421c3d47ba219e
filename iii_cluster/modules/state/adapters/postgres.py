"""State in PostgreSQL: one table, made when it is missing. See postgres.sql for how it looks and how it is written."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from hashlib import sha256
from importlib import resources
from typing import Annotated, NamedTuple, TypeVar

from msgspec import Meta, Struct

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.events.writer import EventWriter
from iii_cluster.modules.imports import BadConfig
from iii_cluster.modules.state.adapter import Notice, StateAdapter

from .postgres_pool import Connection, Pool

PAGE_ROWS = 1000
PAGE_BYTES = 4 * 2**20  # of values; a larger value makes a page of its own
MAX_TABLE = 50  # bytes of a table's name: names of what belongs to it are longer, and PostgreSQL's end at 63

_ESCAPED = {"\\": "\\\\", "\0": "\\0"}  # text cannot hold NUL
_WRITTEN = {written: meant for meant, written in _ESCAPED.items()}
_GROUPS = """
WITH RECURSIVE groups AS (
    (SELECT scope_id, scope FROM "{table}" ORDER BY scope_id LIMIT 1)
    UNION ALL
    SELECT next.* FROM groups, LATERAL (
        SELECT t.scope_id, t.scope FROM "{table}" t WHERE t.scope_id > groups.scope_id ORDER BY t.scope_id LIMIT 1
    ) next
) SELECT scope FROM groups"""
_PAGE = """
SELECT created, key, value FROM (
    SELECT *, sum(octet_length(value)) OVER (ORDER BY created) - octet_length(value) AS before FROM (
        SELECT created, key, value FROM "{table}"
        WHERE scope_id = $1 AND created > $2 AND created <= $3 ORDER BY created LIMIT $4
    ) rows
) summed WHERE before < $5 ORDER BY created"""
_NEWEST = 'SELECT coalesce(max(created), 0) FROM "{table}" WHERE scope_id = $1'

R = TypeVar("R")


class PostgresConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: postgresql://user:password@host:5432/database?sslmode=require"""

    url: str
    table: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]*$", max_length=MAX_TABLE)] = ""  # "": <cluster>_state
    max_connections: Annotated[int, Meta(ge=1)] = 10  # of each gateway
    statement_timeout_ms: Annotated[int, Meta(ge=1)] = 10_000  # waiting for another writer of the key included


class _Id(NamedTuple):
    """A key as the table knows it."""

    lock: int
    scope: bytes
    key: bytes

    @classmethod
    def of(cls, scope: str, key: str) -> "_Id":
        scope_id, key_id = sha256(scope.encode()).digest(), sha256(key.encode()).digest()
        lock = int.from_bytes(sha256(scope_id + key_id).digest()[:8], "big", signed=True)
        return cls(lock, scope_id, key_id)


class PostgresAdapter(StateAdapter):
    Config = PostgresConfig

    def __init__(self, config: PostgresConfig, engine: Engine) -> None:
        table = config.table or f"{engine.settings.cluster}_state"
        if len(table) > MAX_TABLE:
            raise BadConfig(f"`{table}` is too long for the name of a table: give a `table`", "adapter")
        self._table = table
        self._pool = Pool(
            config.url,
            size=config.max_connections,
            statement_timeout=config.statement_timeout_ms / 1000,
            patience=engine.settings.redis_outage_limit,
            name=engine.node,
        )

    async def start(self, events: EventWriter) -> None:
        self._events = events
        await self._pool.start(self._create)

    async def stop(self) -> None:
        await self._pool.stop()

    async def get(self, scope: str, key: str) -> bytes | None:
        id = _Id.of(scope, key)
        query = self._sql('SELECT value FROM "{table}" WHERE scope_id = $1 AND key_id = $2')
        return _bytes(await self._pool.read(lambda connection: connection.fetchval(query, id.scope, id.key)))

    async def set(self, scope: str, key: str, value: bytes, notice: Notice | None) -> bytes | None:
        query = self._sql('SELECT "{table}_set"($1, $2, $3, $4, $5, $6)')
        arguments = (*_Id.of(scope, key), _escape(scope), _escape(key), value.decode())

        async def write(connection: Connection) -> bytes | None:
            return _bytes(await connection.fetchval(query, *arguments))

        return await self._write(write, notice, lambda there, text: [text.text.written(there, value)])

    async def delete(self, scope: str, key: str, notice: Notice | None) -> bytes | None:
        query = self._sql('SELECT "{table}_delete"($1, $2, $3)')
        id = _Id.of(scope, key)

        async def write(connection: Connection) -> bytes | None:
            return _bytes(await connection.fetchval(query, *id))

        return await self._write(write, notice, lambda there, to: [to.text.deleted(there)])

    async def swap(
        self, scope: str, key: str, expected: bytes | None, steps: Sequence[bytes], notice: Notice | None
    ) -> tuple[bool, bytes | None]:
        query = self._sql('SELECT done, there FROM "{table}_swap"($1, $2, $3, $4, $5, $6, $7)')
        before = None if expected is None else expected.decode()
        arguments = (*_Id.of(scope, key), _escape(scope), _escape(key), before, steps[-1].decode())

        async def write(connection: Connection) -> tuple[bool, bytes | None]:
            row = await connection.fetchrow(query, *arguments)
            assert row is not None
            return (True, None) if row["done"] else (False, _bytes(row["there"]))

        def events(result: tuple[bool, bytes | None], to: Notice) -> list[bytes]:
            olds = [expected, *steps[:-1]]
            return [to.text.written(old, new) for old, new in zip(olds, steps, strict=True)] if result[0] else []

        return await self._write(write, notice, events)

    async def pages(self, scope: str) -> AsyncIterator[Sequence[tuple[str, bytes]]]:
        scope_id = _Id.of(scope, "").scope
        newest, query = self._sql(_NEWEST), self._sql(_PAGE)
        end: int = await self._pool.read(lambda connection: connection.fetchval(newest, scope_id))
        last = 0
        while last < end:
            bounds = (scope_id, last, end, PAGE_ROWS, PAGE_BYTES)
            rows = await self._pool.read(lambda connection, bounds=bounds: connection.fetch(query, *bounds))  # type: ignore[misc]
            if not rows:
                return
            yield [(_unescape(row["key"]), row["value"].encode()) for row in rows]
            last = rows[-1]["created"]

    async def groups(self) -> list[str]:
        query = self._sql(_GROUPS)
        return [_unescape(row["scope"]) for row in await self._pool.read(lambda connection: connection.fetch(query))]

    async def _write(
        self,
        write: Callable[[Connection], Awaitable[R]],
        notice: Notice | None,
        events: Callable[[R, Notice], Sequence[bytes]],
    ) -> R:
        """The events are appended while the key is locked, so they are in the order of the writes."""
        async with self._pool.connection() as connection:
            if notice is None:
                return await write(connection)
            async with connection.transaction():
                result = await write(connection)
                if told := events(result, notice):
                    await self._events.append(notice.target, *told)
        self._events.wake(notice.target)
        return result

    async def _create(self, connection: Connection) -> None:
        """Also fine where the role may create nothing, if everything is there."""
        made = "SELECT to_regclass($1) IS NOT NULL AND to_regproc($2) IS NOT NULL"
        if await connection.fetchval(made, f'"{self._table}"', f'"{self._table}_swap"'):
            return
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({_Id.of(self._table, '').lock})")
            await connection.execute(self._sql(resources.files(__package__).joinpath("postgres.sql").read_text()))

    def _sql(self, text: str) -> str:
        return text.replace("{table}", self._table)


def _escape(name: str) -> str:
    return re.sub(r"[\\\0]", lambda found: _ESCAPED[found[0]], name)


def _unescape(name: str) -> str:
    return re.sub(r"\\[\\0]", lambda found: _WRITTEN[found[0]], name)


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
