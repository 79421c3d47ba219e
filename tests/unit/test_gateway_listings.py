"""Rows of listings: what modules offer, and triggers."""

import json

import msgspec
import pytest

from gateway.builtins.offered import Offered
from gateway.builtins.triggers import trigger_row
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.load import load_modules
from iii_cluster.protocol.listing import FunctionRow

ANY_INPUT = {"state::list_groups", "engine::queue::list_topics", "engine::queue::dlq_topics"}


@pytest.fixture
def offered() -> Offered:
    host = ModuleHost(load_modules([]))
    return Offered(host, list(host.functions))


def formats(rows: list[FunctionRow]) -> dict[str, object]:
    return {row.function_id: json.loads(bytes(row.request_format)) for row in rows}


def test_functions_of_modules_are_listed_with_the_schemas_of_their_inputs(offered: Offered) -> None:
    rows = offered.functions(oldest_formats=False)
    listed = formats(rows)
    assert {name for name, schema in listed.items() if schema is None} == ANY_INPUT
    assert formats([row for name in listed if (row := offered.function(name, None))]) == listed


@pytest.mark.parametrize("name", ["state::set", "engine::queue::enqueue"])
def test_inputs_with_a_raw_default_have_a_schema(offered: Offered, name: str) -> None:
    schema = formats(offered.functions(oldest_formats=False))[name]
    text = json.dumps(schema)
    assert '"data": {}' in text
    assert '"properties"' in text


def test_the_oldest_clients_get_no_schemas_of_modules(offered: Offered) -> None:
    assert set(map(str, formats(offered.functions(oldest_formats=True)).values())) == {"None"}


@pytest.mark.parametrize("metadata", [b'{"team":7}', b""])
def test_a_trigger_is_listed_with_its_metadata_if_it_has_any(metadata: bytes) -> None:
    row = {
        "id": "t",
        "type": "state",
        "function": "a::b",
        "owner": "w",
        "state": "live",
        "config": b"{}",
        "metadata": metadata,
    }
    listed = json.loads(msgspec.json.encode(trigger_row(row, {})))
    assert listed.get("metadata") == ({"team": 7} if metadata else None)
    assert ("metadata" in listed) == bool(metadata)
