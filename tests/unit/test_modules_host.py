"""The modules of a process: what they offer, their life, calls of their functions."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar, cast

import pytest
from msgspec import Raw, Struct

from iii_cluster.modules import host as hosts
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.host import ModuleFailed, ModuleHost
from iii_cluster.modules.module import Function, Module, Request, TriggerType
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable

ENGINE = cast(Engine, None)  # the modules here ask nothing of it


class Input(Struct):
    scope: str
    count: int = 0


Handler = Callable[[Input, Request], Awaitable[object]]


class Sample(Module):
    id: ClassVar[str] = "sample"
    name: ClassVar[str] = "Sample"

    def __init__(self, id: str = "sample", handler: Handler | None = None, types: Iterable[TriggerType] = ()) -> None:
        super().__init__(None)
        self.id = id  # type: ignore[misc]
        self._handler = handler
        self._types = types
        self.log: list[str] = []
        self.trouble: BaseException | None = None

    def functions(self) -> Mapping[str, Function[Any]]:
        return {} if self._handler is None else {f"{self.id}::run": Function(self._handler, Input)}

    def trigger_types(self) -> Iterable[TriggerType]:
        return self._types

    async def initialize(self, engine: Engine) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.log.append("begun")

    async def shutdown(self) -> None:
        self.log.append("ended")
        if self.trouble is not None:
            raise self.trouble

    def describe(self) -> Mapping[str, Any]:
        return {"begun": len(self.log)} if self.id == "sample" else {}


async def run(handler: Handler, data: bytes = b'{"scope":"s"}') -> bytes | None:
    return await ModuleHost([Sample(handler=handler)]).run("sample::run", Request("sample::run", data))


async def failure(handler: Handler, data: bytes = b'{"scope":"s"}') -> EngineError:
    with pytest.raises(EngineError) as raised:
        await run(handler, data)
    return raised.value


async def nothing(_input: Input, _request: Request) -> None:
    return None


# -- calls


async def test_a_function_gets_its_decoded_input_and_the_request() -> None:
    async def handler(input: Input, request: Request) -> object:
        return {"scope": input.scope, "count": input.count, "function": request.function}

    result = await run(handler, b'{"scope":"s","count":3,"unknown":true}')
    assert result == b'{"scope":"s","count":3,"function":"sample::run"}'


async def test_no_result_differs_from_a_null() -> None:
    async def null(_input: Input, _request: Request) -> object:
        return Raw(b"null")

    assert await run(nothing) is None
    assert await run(null) == b"null"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"{}", "`scope`"),
        (b'{"scope":1}', "$.scope"),
        (b'{"scope":"s","count":"many"}', "$.count"),
        (b"null", "`object`"),
        (b"", "`object`"),
        (b"[1]", "`object`"),
        (b'{"scope":"\xff"}', "sample::run"),
        (b'{"scope":' + b"[" * 100_000, "sample::run"),
    ],
)
async def test_input_that_does_not_fit_fails_before_the_handler_and_names_function_and_field(
    data: bytes, named: str
) -> None:
    async def never(_input: Input, _request: Request) -> object:
        raise AssertionError

    error = await failure(never, data)
    assert error.code == "deserialization_error"
    assert "sample::run" in error.message
    assert named in error.message


async def test_a_result_that_cannot_be_encoded_is_an_error_of_its_own() -> None:
    async def handler(_input: Input, _request: Request) -> object:
        return {"socket": object()}

    assert (await failure(handler)).code == "serialization_error"


async def test_an_error_of_the_function_is_passed_on() -> None:
    async def handler(_input: Input, _request: Request) -> object:
        raise EngineError("GET_ERROR", "gone")

    error = await failure(handler)
    assert (error.code, error.message) == ("GET_ERROR", "gone")


async def test_an_unexpected_failure_is_logged_and_told_without_its_details(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(_input: Input, _request: Request) -> object:
        raise LookupError("secret")

    error = await failure(handler)
    assert error.code == "internal_error"
    assert "secret" not in error.message
    assert "module_call_failed" in caplog.text


async def test_redis_that_is_away_is_no_failure_of_the_module(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(_input: Input, _request: Request) -> object:
        raise Unavailable("Redis cannot be reached", maybe=False)

    error = await failure(handler)
    assert (error.code, error.message) == ("internal_error", "Redis cannot be reached")
    assert not caplog.text


# -- what they offer


def test_functions_are_known_with_their_module() -> None:
    module = Sample(handler=nothing)
    assert ModuleHost([module]).functions["sample::run"][0] is module


def test_a_trigger_type_is_known_by_its_aliases() -> None:
    module = Sample(types=[TriggerType(id="queue", aliases=("durable", "old"))])
    host = ModuleHost([module])
    assert host.types["queue"] is host.types["old"]
    assert [host.canonical(name) for name in ("queue", "old", "foreign")] == ["queue", "queue", "foreign"]
    assert host.module_of_type("durable") is module


def test_two_modules_cannot_offer_the_same() -> None:
    first = Sample("a", types=[TriggerType(id="queue", aliases=("old",))])
    second = Sample("b", types=[TriggerType(id="old")])
    with pytest.raises(ValueError, match="a and b both offer the trigger type old"):
        ModuleHost([first, second])
    with pytest.raises(ValueError, match="two modules called a"):
        ModuleHost([first, first])


def test_two_modules_cannot_offer_one_function() -> None:
    class Twin(Sample):
        def functions(self) -> Mapping[str, Function[Any]]:
            return {"sample::run": Function(nothing, Input)}

    with pytest.raises(ValueError, match="sample and twin both offer the function sample::run"):
        ModuleHost([Sample(handler=nothing), Twin("twin")])


# -- life


async def test_modules_begin_in_order_and_end_the_other_way_round() -> None:
    order: list[str] = []

    class Ordered(Sample):
        async def initialize(self, engine: Engine) -> None:
            order.append(f"+{self.id}")

        async def shutdown(self) -> None:
            order.append(f"-{self.id}")

    host = ModuleHost([Ordered("a"), Ordered("b")])
    await host.initialize(ENGINE)
    await host.shutdown()
    await host.shutdown()
    assert order == ["+a", "+b", "-b", "-a"]


async def test_a_module_that_fails_to_begin_is_named_and_the_others_end() -> None:
    first, second = Sample("first"), Sample("second")
    second.trouble = OSError("no such server")
    with pytest.raises(ModuleFailed, match="second could not begin: no such server"):
        await ModuleHost([first, second]).initialize(ENGINE)
    assert first.log == ["begun", "ended"]


async def test_a_module_that_fails_to_end_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Sample("first"), Sample("second")
    host = ModuleHost([first, second])
    await host.initialize(ENGINE)
    second.trouble = LookupError("confused")
    await host.shutdown()
    assert first.log == ["begun", "ended"]
    assert "module_stop_failed module=second" in caplog.text


async def test_a_module_that_does_not_end_is_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(Sample):
        async def shutdown(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(hosts, "SHUTDOWN_TIMEOUT", 0.01)
    monkeypatch.setattr(hosts, "SHUTDOWN_SHARE", 0.01)
    first = Sample("first")
    host = ModuleHost([first, Stuck("second"), Stuck("third")])
    await host.initialize(ENGINE)
    await host.shutdown()
    assert "module_slow_to_stop module=third" in caplog.text
    assert "module_slow_to_stop module=second" in caplog.text
    assert first.log == ["begun", "ended"]


async def test_a_module_whose_beginning_is_given_up_is_ended() -> None:
    class Slow(Sample):
        async def initialize(self, engine: Engine) -> None:
            await asyncio.Event().wait()

    module = Slow("slow")
    host = ModuleHost([module])
    beginning = asyncio.create_task(host.initialize(ENGINE))
    await asyncio.sleep(0)
    beginning.cancel()
    await asyncio.wait([beginning])
    await host.shutdown()
    assert module.log == ["ended"]


async def test_numbers_are_told_by_module_while_it_runs() -> None:
    host = ModuleHost([Sample(), Sample("silent")])
    assert host.describe() == {}
    await host.initialize(ENGINE)
    assert host.describe() == {"sample": {"begun": 1}}
