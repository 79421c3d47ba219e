"""The metadata of functions: what all who serve agree on."""

import pytest

from iii_cluster.bus.envelopes import DropFunction, FunctionOwners, Watch
from iii_cluster.config.settings import Duplicates
from shard.metadata import MAX_METADATA, metadata_of
from tests.support.shard import GATEWAYS, Lab, owner

A, B = GATEWAYS
KEY = "function:default/f"
V, W = owner(1), owner(2, B)
PUBLIC, PRIVATE = b'{"metadata":{"public":true}}', b'{"metadata":{"public":false}}'


def told(lab: Lab) -> list[bytes]:
    return [said.metadata for said in lab.effects.take(FunctionOwners, B)]


@pytest.mark.parametrize(
    ("definition", "metadata"),
    [
        (b"{}", b""),
        (b'{"description":"a \\"metadata\\" of old"}', b""),
        (b'{"metadata":null}', b""),
        (b'{"metadata":{}}', b"{}"),
        (b'{ "metadata" : { "b": [1, 2.5], "a" : "\\u00e4" } }', '{"a":"ä","b":[1,2.5]}'.encode()),
        (b'{"metadata":"public"}', b'"public"'),
        (b'{"metadata":{"a":[', b""),
        (b'["metadata"]', b""),
        (b'{"metadata":1' + b"0" * 5000 + b"}", b""),
        (b'{"metadata":' + b"[" * 5000 + b"]" * 5000 + b"}", b""),
        (b'{"metadata":"' + b"x" * (MAX_METADATA - 2) + b'"}', b'"' + b"x" * (MAX_METADATA - 2) + b'"'),
        (b'{"metadata":"' + b"x" * (MAX_METADATA - 1) + b'"}', b""),
    ],
)
def test_metadata_is_read_from_the_definition(definition: bytes, metadata: bytes) -> None:
    assert metadata_of(definition) == metadata


def test_watchers_are_told_what_all_owners_agree_on_and_when_that_changes() -> None:
    lab = Lab().filled()
    lab.put(V, "f", definition=PUBLIC)
    lab.get(B, Watch(2, [KEY]))
    assert told(lab) == [b'{"public":true}']
    lab.put(W, "f", definition=b'{"metadata": {"public": true}}')
    assert told(lab) == [b'{"public":true}']
    lab.put(W, "f", definition=PRIVATE)
    assert told(lab) == [b""]
    lab.put(W, "f", definition=PRIVATE)
    assert told(lab) == []
    lab.put(W, "f", definition=b"{}")
    assert told(lab) == []
    lab.get(B, DropFunction(W, "default", "f"))
    assert told(lab) == [b'{"public":true}']
    lab.put(V, "f")
    assert told(lab) == [b""]


def test_only_those_who_serve_are_asked() -> None:
    lab = Lab(Duplicates.REPLACE).filled()
    lab.put(V, "f", definition=PUBLIC)
    lab.put(W, "f", definition=PRIVATE)
    lab.get(B, Watch(2, [KEY]))
    assert told(lab) == [b'{"public":false}']
    lab.get(B, DropFunction(W, "default", "f"))
    assert told(lab) == [b'{"public":true}']
