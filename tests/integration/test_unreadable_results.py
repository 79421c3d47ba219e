"""Handlers that return what is no JSON, or too deep: the client hears of it at once, however long it would wait."""

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.http_peer import http_peer
from tests.support.raw import CallFailed, raw_worker

DEEP = f"{'[' * 129}{']' * 129}"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (DEEP, "nested deeper than 128"),
        (f'{{"status_code":200,"body":{DEEP}}}', "nested deeper than 128"),
        ('{"status_code":200,"body":{"mean":NaN}}', "malformed"),
        ("-Infinity", "malformed"),
        ('{"body":"\\ud800"}', "a lone surrogate"),
    ],
)
async def test_an_unreadable_result_is_an_error_at_once(
    shared_cluster: Cluster, unique: str, result: str, reason: str
) -> None:
    here, there = shared_cluster.gateways
    function = f"{unique}::unreadable"
    async with raw_worker(here.url) as worker, http_peer(there.ports["http"]) as client:
        await worker.register(function)
        config = {"api_path": unique, "http_method": "GET"}
        await worker.send("registertrigger", id=unique, trigger_type="http", function_id=function, config=config)

        async def served() -> bool:
            return (await client.ask("OPTIONS", f"/{unique}")).status == 204

        await eventually(served)
        await client.send(f"GET /{unique} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
        call = await worker.expect("invokefunction", function_id=function)
        ids = f'"invocation_id":"{call["invocation_id"]}","function_id":"{function}"'
        await worker.send_text(f'{{"type":"invocationresult",{ids},"result":{result}}}')
        answer = await client.answer()
        assert answer.status == 500
        assert answer.value["error"]["code"] == "serialization_error"
        assert reason in answer.value["error"]["message"]


async def test_an_unreadable_call_is_an_error_at_once(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        ids = '"invocation_id":"0d0f8b5e-90bd-4d6a-9a39-5b6e2a9d9a10","function_id":"engine::workers::list"'
        await worker.send_text(f'{{"type":"invokefunction",{ids},"data":{{"mean":NaN}}}}')
        answer = await worker.result("0d0f8b5e-90bd-4d6a-9a39-5b6e2a9d9a10")
        assert answer["error"]["code"] == "deserialization_error"
        with pytest.raises(CallFailed, match="function_not_found"):
            await worker.call(f"{unique}::missing")
