"""Functions that a gateway answers itself, called by workers, modules and other nodes."""

import asyncio
import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import Raw, Struct

from gateway.backpressure import MAX_MODULE_CALLS
from gateway.builtins.modules import ModuleFunctions
from gateway.call import Call
from gateway.worker import Worker
from iii_cluster.bus.envelopes import Invoke, Refused, Result
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.module import Function, Module, NoConfig, Request
from iii_cluster.protocol.errors import EngineError
from tests.support.gateway import FakeGateway

SHARD = "shard-00000001"
HEIR = "shard-00000002"


class Number(Struct):
    n: int


class Notes(Module):
    """Notes what it is asked, and answers when it is told to."""

    id = "notes"
    name = "Notes"

    def __init__(self) -> None:
        super().__init__(NoConfig())
        self.requests: list[Request] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    def functions(self) -> Mapping[str, Function[Any]]:
        return {
            "notes::double": Function(self._double, Number),
            "notes::null": Function(self._null, Raw),
            "engine::queue::enqueue": Function(self._enqueue, Raw),
        }

    async def _double(self, number: Number, request: Request) -> object:
        self.requests.append(request)
        await self.go_on.wait()
        if number.n < 0:
            raise EngineError("NEGATIVE", "no")
        return number.n * 2

    async def _null(self, _data: Raw, request: Request) -> object:
        self.requests.append(request)
        return Raw(b"null")

    async def _enqueue(self, data: Raw, request: Request) -> object:
        self.requests.append(request)
        if json.loads(bytes(data))["queue"] == "none":
            raise EngineError("queue_not_found", "Queue 'none' not found")
        return {"messageReceiptId": "of the module"}


class Lab(FakeGateway):
    def __init__(self) -> None:
        super().__init__(SHARD, HEIR, "gateway-bbbbbbbb", "coordinator-00000001")
        self.module = Notes()
        self.functions = ModuleFunctions(self.core, ModuleHost([self.module]))
        self.worker, self.out = self.connect()

    def call(self, function: str, data: Any = None, worker: Worker | None = None, **more: Any) -> None:
        asked = {"function_id": function, "invocation_id": str(uuid.uuid4()), "data": data, **more}
        self.say(worker or self.worker, type="invokefunction", **asked)

    async def answers(self) -> list[dict[str, Any]]:
        for _ in range(10):
            await asyncio.sleep(0)
        return self.out.take()

    async def told(self) -> list[tuple[str, Any]]:
        for _ in range(10):
            await asyncio.sleep(0)
        return [(node, sent) for node, sent in self.effects.take() if isinstance(sent, Result | Refused)]


@pytest.fixture
async def lab() -> Lab:
    return Lab()


async def test_a_worker_gets_the_result_and_the_module_all_that_was_said(lab: Lab) -> None:
    lab.call("notes::double", {"n": 2}, metadata={"m": 1}, traceparent="00-a-b-01", baggage=None)
    (answer,) = await lab.answers()
    assert answer["result"] == 4
    (request,) = lab.module.requests
    assert json.loads(request.data) == {"n": 2, "_caller_worker_id": lab.worker.id}
    assert request.caller == lab.worker.id
    assert json.loads(request.metadata) == {"m": 1}
    assert (request.traceparent, request.baggage) == (b'"00-a-b-01"', b"")
    assert lab.core.invocations.in_flight == 0


async def test_errors_and_null_reach_the_worker(lab: Lab) -> None:
    lab.call("notes::double", {"n": -1})
    lab.call("notes::double", {"n": "x"})
    lab.call("notes::null")
    refused, misfit, null = await lab.answers()
    assert refused["error"] == {"code": "NEGATIVE", "message": "no"}
    assert misfit["error"]["code"] == "deserialization_error"
    assert null["result"] is None


async def test_who_wants_no_result_gets_none(lab: Lab) -> None:
    lab.say(lab.worker, type="invokefunction", function_id="notes::double", data={"n": 1})
    lab.call("notes::double", {"n": 1}, action={"type": "void"})
    assert not await lab.answers()
    assert len(lab.module.requests) == 2


async def test_functions_of_modules_are_of_the_default_namespace(lab: Lab) -> None:
    lab.call("notes::double", {"n": 1}, namespace="shop")
    assert not await lab.answers()
    assert not lab.module.requests


async def test_an_enqueued_call_goes_to_the_queue_module_and_gets_the_gateways_receipt(lab: Lab) -> None:
    lab.call("mail::send", {"to": "a"}, action={"type": "enqueue", "queue": "mail"}, namespace="shop")
    (answer,) = await lab.answers()
    (request,) = lab.module.requests
    job = json.loads(request.data)
    assert job == {
        "queue": "mail",
        "function_id": "mail::send",
        "data": {"to": "a"},
        "messageReceiptId": answer["result"]["messageReceiptId"],
        "traceparent": None,
        "baggage": None,
        "namespace": "shop",
    }
    assert uuid.UUID(job["messageReceiptId"])


async def test_what_the_queue_module_refuses_is_an_enqueue_error(lab: Lab) -> None:
    lab.call("mail::send", {}, action={"type": "enqueue", "queue": "none"})
    (answer,) = await lab.answers()
    assert answer["error"] == {"code": "enqueue_error", "message": "queue_not_found: Queue 'none' not found"}


async def test_other_nodes_call_functions_of_the_gateway_itself(lab: Lab) -> None:
    lab.core.invocations.on_invoke(SHARD, Invoke("i-1", 0, "notes::double", b'{"n":2}', metadata=b"1"))
    lab.core.invocations.on_invoke(SHARD, Invoke("i-2", 0, "notes::double", b'{"n":-2}'))
    assert lab.module.requests == []
    (first, second) = await lab.told()
    assert first == (SHARD, Result("i-1", b"4"))
    assert json.loads(second[1].error)["code"] == "NEGATIVE"
    assert [(request.caller, request.metadata) for request in lab.module.requests] == [("", b"1"), ("", b"")]


async def test_what_no_module_here_offers_is_refused(lab: Lab) -> None:
    for unknown in (Invoke("i-1", 0, "no::such", b"{}"), Invoke("i-2", 0, "notes::double", b"{}", namespace="shop")):
        lab.core.invocations.on_invoke(SHARD, unknown)
        assert await lab.told() == [(SHARD, Refused(unknown))]


async def test_a_named_call_of_a_module_is_made_once_and_can_be_adopted(lab: Lab) -> None:
    lab.module.go_on.clear()
    lab.core.invocations.on_invoke(SHARD, Invoke("i-1", 0, "notes::double", b'{"n":2}', once="tick"))
    lab.core.invocations.on_invoke(SHARD, Invoke("i-2", 0, "notes::double", b'{"n":2}', once="tick"))
    assert lab.core.invocations.deliveries.find(HEIR, ["tick"]) == ({"tick": "i-1"}, {})
    assert not await lab.told()
    lab.module.go_on.set()
    told = await lab.told()
    assert sorted((node, sent.id) for node, sent in told) == [(SHARD, "i-1"), (SHARD, "i-2"), (HEIR, "i-1")]
    assert len(lab.module.requests) == 1
    assert lab.core.invocations.deliveries.find(HEIR, ["tick"]) == ({}, {"tick": b""})


async def test_modules_call_functions_of_modules(lab: Lab) -> None:
    ends: list[tuple[bytes, bytes]] = []
    call = Call(None, b"", "default", "notes::double", b'{"n":3}', done=lambda *end: ends.append(end))
    lab.core.own.start(call)
    await lab.told()
    assert ends == [(b"6", b"")]


async def test_callers_are_paused_while_modules_have_too_much_to_do(lab: Lab) -> None:
    lab.module.go_on.clear()
    for _ in range(MAX_MODULE_CALLS + 1):
        lab.call("notes::double", {"n": 1})
    assert lab.out.paused == 1
    lab.module.go_on.set()
    assert len(await lab.answers()) == MAX_MODULE_CALLS + 1
    assert lab.out.paused == 0


async def test_calls_still_running_when_the_modules_are_gone_end(lab: Lab) -> None:
    lab.module.go_on.clear()
    lab.call("notes::double", {"n": 1})
    assert not await lab.answers()
    lab.functions.cancel()
    (answer,) = await lab.answers()
    assert answer["error"]["code"] == "invocation_stopped"
