"""Frames a gateway must take, must drop, and must not be upset by."""

import json
import uuid
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.raw import RawWorker, known, raw_worker

ID = "5b0d6f5e-0e52-4a8e-9d0a-5f0f35a0a001"


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def invoke(function: str, **replaced: str) -> str:
    """A call as JSON text, some of whose members are replaced by other text."""
    members = {"type": '"invokefunction"', "function_id": json.dumps(function), "invocation_id": f'"{ID}"', **replaced}
    return "{" + ",".join(f'"{name}":{value}' for name, value in {"data": "{}", **members}.items()) + "}"


@pytest.fixture
def url(shared_cluster: Cluster) -> str:
    return shared_cluster.gateways[0].url


async def still_serves(worker: RawWorker, function: str) -> None:
    """The connection is as good as new."""
    call = await worker.begin(function, {"still": "here"})
    invocation = await worker.expect("invokefunction", function_id=function)
    assert invocation["data"]["still"] == "here"
    await worker.answer(invocation, "yes")
    assert (await worker.result(call))["result"] == "yes"


async def test_the_first_frame_tells_the_worker_who_it_is(url: str) -> None:
    async with raw_worker(url, name=None) as first, raw_worker(url, name=None) as second:
        hello = json.loads(first.raw[0])
        assert hello == {"type": "workerregistered", "worker_id": first.worker_id, "reattach_token": first.token}
        assert str(uuid.UUID(first.worker_id)) == first.worker_id
        assert first.worker_id != second.worker_id
        assert first.token
        assert first.token != second.token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\n",
        "{",
        "null",
        "[]",
        "{}",
        '"text"',
        "12",
        "no json",
        '{"type":"ping"}x',
        '{"type":5}',
        '{"type":null}',
        '{"type":"nonsense"}',
        '{"type":"Ping"}',
        '{"type":"workerregistered","worker_id":"x"}',
        '{"type":"registerfunction"}',
        '{"type":"registerfunction","id":5}',
        '{"type":"registerfunction","id":null}',
        '{"type":"registerfunction","id":["x"]}',
        '{"type":"registerfunction","id":"x","description":5}',
        '{"type":"unregisterfunction"}',
        '{"type":"registertriggertype","description":"x"}',
        '{"type":"registertrigger","id":"x","trigger_type":"y"}',
        '{"type":"registertrigger","id":"x","function_id":"y"}',
        '{"type":"registertrigger","trigger_type":"x","function_id":"y"}',
        '{"type":"unregistertrigger"}',
        '{"type":"triggerregistrationresult","id":"x"}',
        '{"type":"invocationresult","function_id":"x","result":1}',
        '{"type":"invocationresult","invocation_id":5,"function_id":"x"}',
        '{"type":"invokefunction","data":{}}',
        '{"type":"invokefunction","function_id":7,"data":{}}',
        '{"type":"registerservice"}',
        '{"type":"reattach"}',
        '{"type":"reattach","previous_worker_id":5}',
        '{"type":"reattach","previous_worker_id":"nobody","reattach_token":"x"}',
        '{"type":"unregisterfunction","id":"unknown"}',
        '{"type":"unregistertrigger","id":"unknown"}',
        '{"type":"unregistertriggertype","id":"unknown"}',
        f'{{"type":"invocationresult","invocation_id":"{ID}","function_id":"unknown","result":1}}',
        '{"type":"triggerregistrationresult","id":"unknown","trigger_type":"x","function_id":"y"}',
        '{"type":"pong"}',
    ],
)
async def test_a_frame_without_a_use_is_dropped_silently(url: str, unique: str, text: str) -> None:
    async with raw_worker(url) as worker:
        await worker.register(unique)
        await worker.send_text(text)
        await worker.flush()
        assert worker.frames == []
        await still_serves(worker, unique)


@pytest.mark.parametrize(
    "replaced",
    [
        {"data": "NaN"},
        {"data": "Infinity"},
        {"data": '{"deep":[-Infinity]}'},
        {"data": "[1,]"},
        {"data": '{"a":1,}'},
        {"data": "{'a':1}"},
        {"data": "01"},
        {"data": "1."},
        {"data": ".5"},
        {"data": "+1"},
        {"data": "1e"},
        {"data": "-"},
        {"data": "tru"},
        {"data": '"\\x41"'},
        {"data": '"\\u12"'},
        {"data": '"tab\there"'},
        {"data": nested(200)},
        {"data": nested(100_000)},
        {"data": '{"a":' * 200 + "1" + "}" * 200},
        {"metadata": "NaN"},
        {"action": "7"},
        {"namespace": "7"},
    ],
    ids=lambda replaced: json.dumps(replaced)[:40],
)
async def test_a_malformed_call_is_refused(url: str, unique: str, replaced: dict[str, str]) -> None:
    async with raw_worker(url) as worker:
        await worker.register(unique)
        await worker.send_text(invoke(unique, **replaced))
        # A good one of the same function would be delivered before the answer to the ping.
        await worker.flush()
        (answer,) = worker.frames
        assert (answer["type"], answer["invocation_id"]) == ("invocationresult", ID)
        assert answer["error"]["code"] == "deserialization_error"
        worker.frames.clear()
        await still_serves(worker, unique)


@pytest.mark.parametrize(
    "replaced",
    [
        {"metadata": nested(200)},  # the id is between two values that are nested
        {"action": '{"type":"explode"}'},
        {"action": "{}"},
        {"invocation_id": '"not-a-uuid"'},
        {"invocation_id": "7"},
        {"invocation_id": "null", "data": "NaN"},
    ],
    ids=lambda replaced: json.dumps(replaced)[:40],
)
async def test_a_malformed_call_whose_id_is_not_to_be_found_is_dropped_silently(
    url: str, unique: str, replaced: dict[str, str]
) -> None:
    async with raw_worker(url) as worker:
        await worker.register(unique)
        await worker.send_text(invoke(unique, **replaced))
        await worker.flush()
        assert worker.frames == []
        await still_serves(worker, unique)


@pytest.mark.parametrize("where", ["payload", "id"])
async def test_a_frame_with_invalid_utf_8_is_dropped_silently(url: str, unique: str, where: str) -> None:
    function = unique.encode() + (b"\xff" if where == "id" else b"")
    text = b'{"type":"invokefunction","function_id":"%b","data":{"a":"\xc3\x28"}}' % function
    async with raw_worker(url) as worker:
        await worker.register(unique)
        await worker.send_text(text)
        await worker.flush()
        assert worker.frames == []
        await still_serves(worker, unique)


async def test_nesting_up_to_the_limit_is_delivered(url: str, unique: str) -> None:
    async with raw_worker(url) as worker:
        await worker.register(unique)
        # The frame itself is one level.
        await worker.send_text(invoke(unique, data=nested(127)))
        invocation = await worker.expect("invokefunction")
        assert json.dumps(invocation["data"]) == nested(127)


async def test_brackets_inside_strings_are_no_nesting(url: str, unique: str) -> None:
    async with raw_worker(url) as worker:
        await worker.register(unique)
        await worker.send_text(invoke(unique, data=json.dumps(["[{" * 500, '"[[' * 500])))
        invocation = await worker.expect("invokefunction")
        assert invocation["data"] == ["[{" * 500, '"[[' * 500]


@pytest.mark.parametrize("member", ["surprise", "message_type"])
async def test_unknown_members_are_ignored(url: str, unique: str, member: str) -> None:
    async with raw_worker(url) as worker:
        await worker.send("registerfunction", id=unique, **{member: {"x": [1]}})
        await worker.send("invokefunction", function_id=unique, invocation_id=ID, data=1, **{member: None})
        assert (await worker.expect("invokefunction"))["data"] == 1


async def test_null_reads_like_an_absent_member(url: str, unique: str) -> None:
    async with raw_worker(url) as worker:
        await worker.register(
            unique, description=None, request_format=None, response_format=None, metadata=None, invocation=None
        )
        nulls: dict[str, Any] = dict.fromkeys(("traceparent", "baggage", "action", "metadata", "namespace"))
        await worker.send("invokefunction", function_id=unique, invocation_id=ID, data=None, **nulls)
        invocation = await worker.expect("invokefunction")
        assert {*invocation} - {"traceparent"} == {"type", "invocation_id", "function_id", "data"}
        assert invocation.get("traceparent", "") is not None  # of a trace that begins here, if any
        assert invocation["data"] is None


async def test_missing_payloads_read_as_null(url: str, unique: str) -> None:
    async with raw_worker(url) as worker:
        await worker.register(unique)
        await worker.send("registertriggertype", id=unique, description="of a test")
        await worker.send("invokefunction", function_id=unique, invocation_id=ID)
        invocation = await worker.expect("invokefunction")
        assert invocation["data"] is None
        await worker.send("registertrigger", id=unique, trigger_type=unique, function_id=unique)
        trigger = await worker.expect("registertrigger")
        assert trigger == {
            "type": "registertrigger",
            "id": unique,
            "trigger_type": unique,
            "function_id": unique,
            "config": None,
        }


async def test_the_order_of_members_does_not_matter(url: str, unique: str) -> None:
    async with raw_worker(url) as worker:
        await worker.send_text(f'{{"id":"{unique}","type":"registerfunction"}}')
        await worker.send_text(
            f'{{"data":[1],"invocation_id":"{ID}","function_id":"{unique}","type":"invokefunction"}}'
        )
        assert (await worker.expect("invokefunction"))["data"] == [1]


async def test_json_in_a_binary_frame_counts_like_text(url: str, unique: str) -> None:
    async with raw_worker(url) as worker:
        await worker.send_binary(json.dumps({"type": "registerfunction", "id": unique}).encode())
        await worker.send_binary(invoke(unique).encode())
        assert (await worker.expect("invokefunction"))["function_id"] == unique
        assert all(isinstance(frame, str) for frame in worker.raw), "clients expect text"


@pytest.mark.parametrize("prefix", [b"OTLP", b"MTRC", b"LOGS"])
@pytest.mark.parametrize("body", [b"{}", b"", b"no json", b"\xff\xfe", b'{"resourceSpans":[]}'])
async def test_telemetry_is_accepted_without_an_answer(url: str, unique: str, prefix: bytes, body: bytes) -> None:
    async with raw_worker(url) as worker:
        await worker.register(unique)
        await worker.send_binary(prefix + body)
        await worker.flush()
        assert worker.frames == []
        await still_serves(worker, unique)


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x02", b"XXXX{}", b"OTL"])
async def test_other_binary_frames_are_dropped_silently(url: str, unique: str, data: bytes) -> None:
    async with raw_worker(url) as worker:
        await worker.register(unique)
        await worker.send_binary(data)
        await worker.flush()
        assert worker.frames == []
        await still_serves(worker, unique)


async def test_a_json_ping_gets_a_json_pong(url: str) -> None:
    async with raw_worker(url, name=None) as worker:
        await worker.send("ping")
        assert await worker.expect("pong") == {"type": "pong"}


async def test_fragments_make_one_message(url: str, unique: str) -> None:
    async with raw_worker(url) as worker:
        await worker.register(unique)
        text = invoke(unique, data='{"text":"größer"}').encode()
        cut = text.index("ö".encode()) + 1  # inside a character
        await worker.socket.send([text[:7], text[7:cut], text[cut:]], text=True)
        assert (await worker.expect("invokefunction"))["data"]["text"] == "größer"


async def test_ids_are_matched_verbatim(url: str, unique: str) -> None:
    names = [f"{unique}::x", f"{unique}::X", f"{unique}:: x", f"{unique}", f"{unique}::ß✓", f'{unique}::"quoted"\\']
    async with raw_worker(url) as worker:
        for name in names:
            await worker.register(name)
        await known(worker, *names)
        for name in names:
            await worker.begin(name)
            assert (await worker.expect("invokefunction"))["function_id"] == name
