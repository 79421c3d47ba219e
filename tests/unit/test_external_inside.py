"""What of a call's input does not leave the cluster."""

import json
from typing import Any

import pytest

from gateway.external.inside import for_outside
from iii_cluster.protocol.errors import EngineError

REFERENCE = {"channel_id": "c", "access_key": "k", "direction": "read"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"a": 1, "_caller_worker_id": "w"}, {"a": 1}),
        ({"_caller_worker_id": "w"}, {}),
        ({"body": 1, "request_body": REFERENCE, "response": {**REFERENCE, "direction": "write"}}, {"body": 1}),
        ({"response": REFERENCE, "_caller_worker_id": "w"}, {}),
        ({"response": {"ok": True}, "other": REFERENCE}, {"response": {"ok": True}, "other": REFERENCE}),
        ({"response": "access_key", "x": '"access_key"'}, {"response": "access_key", "x": '"access_key"'}),
        ({"a": {"_caller_worker_id": "w"}}, {"a": {"_caller_worker_id": "w"}}),
    ],
)
def test_keys_of_channels_and_the_callers_id_stay_inside(given: dict[str, Any], sent: dict[str, Any]) -> None:
    assert json.loads(for_outside(json.dumps(given, separators=(",", ":")).encode())) == sent


def test_the_callers_id_is_taken_out_however_often_it_is_there() -> None:
    assert for_outside(b'{"_caller_worker_id":"x","n":1.50,"_caller_worker_id":"w"}') == b'{"n":1.50}'


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[1]", b'"_caller_worker_id"', b'{"a" : 1}', b'{"n":12345678901234567890123}']
)
def test_all_else_is_sent_as_it_came(data: bytes) -> None:
    assert for_outside(data) == data


def test_what_cannot_be_read_is_not_sent() -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        for_outside(b'{"_caller_worker_id":"w",\xff}')
