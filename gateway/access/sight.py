"""What listings show to a caller under rules: functions that it may call, and what hangs on these."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.worker import Worker
from iii_cluster.access.rules import Access, Verdict
from iii_cluster.access.triggers import scoped, unscoped
from iii_cluster.protocol import messages

Row = dict[str, Any]
Key = tuple[str, str]  # namespace, function


class Sight:
    """Of one caller, for one answer. `metadata` is that of the functions in question; of others it shows none that
    only their metadata exposes."""

    def __init__(self, worker: Worker, canonical: Callable[[str], str], metadata: Mapping[Key, bytes]) -> None:
        """`canonical` knows the other names of trigger types."""
        assert worker.access is not None
        self._canonical = canonical
        self._access: Access = worker.access
        self._worker = worker.id
        self._metadata = metadata

    def function(self, namespace: str, function: str, metadata: bytes | None = None) -> bool:
        """Whether it may call the function; `metadata` as its row says, if there is one."""
        said = self._metadata.get((namespace, function), b"") if metadata is None else metadata
        return self._access.may_call(namespace, function, lambda: b"" if messages.is_null(said) else said)

    def verdict(self, namespace: str, function: str) -> Verdict:
        return self._access.verdict(namespace, function)

    def type(self, row: Row) -> bool:
        return self._access.may_use_type(row["id"], self._canonical) or row["owner"] == self._worker

    def triggers(self, rows: Iterable[Row]) -> list[Row]:
        """Those of functions that it may call, with their ids as it knows them."""
        return self.known(row for row in rows if self.function(row["namespace"], row["function"]))

    def known(self, rows: Iterable[Row]) -> list[Row]:
        """The same of triggers that it may see."""
        return [{**row, "id": unscoped(self._access.realm, row["id"])} for row in rows]

    def worker(self, row: Row) -> Row | None:
        """The row with the functions that it may call; None for a worker that has none of these."""
        functions = [id for id in row["functions"] if self.function(row["namespace"], id)]
        if not functions and row["id"] != self._worker:
            return None
        return {**row, "functions": functions, "function_count": len(functions)}

    def meant(self, trigger: str) -> str:
        """What a trigger is called that the caller names."""
        return scoped(self._access.realm, trigger)


def metadata_of(rows: Iterable[Row]) -> dict[Key, bytes]:
    """Of functions, from the rows of shards."""
    return {(row["namespace"], row["id"]): _metadata(row) for row in rows}


class _Definition(msgspec.Struct):
    metadata: msgspec.Raw = messages.ABSENT


_decode = msgspec.json.Decoder(_Definition).decode


def _metadata(row: Row) -> bytes:
    return bytes(_decode(row["definition"] or b"{}").metadata)
