"""HTTP functions over the wire: registered at one gateway, called at either, by everything that calls functions."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster, running_cluster
from tests.support.eventually import eventually
from tests.support.http_target import Answer, Asked, Reply, Silence, http_target
from tests.support.raw import CallFailed, RawWorker, known, raw_worker

SECURITY = {"require_https": False, "block_private_ips": False}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def environment(**config: Any) -> dict[str, str]:
    modules = [{"name": "iii-http-functions", "config": {"security": SECURITY, **config}}]
    return {
        "III_CLUSTER_MODULES": json.dumps(modules),
        "PAY_SECRET": "k3y-of-pay",
        "PAY_TOKEN": "t0ken-of-pay",
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two gateways and two shards with the module, which may call this machine."""
    with running_cluster(tmp_path_factory.mktemp("http-functions"), env=environment()) as cluster:
        yield cluster


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
async def asking(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[RawWorker]:
    async with raw_worker(cluster.gateways[request.param].url, name="asking") as worker:
        yield worker


@pytest.fixture
async def owning(cluster: Cluster) -> AsyncIterator[RawWorker]:
    """On the first gateway."""
    async with raw_worker(cluster.gateways[0].url, name="owning") as worker:
        yield worker


async def register(worker: RawWorker, function: str, url: str, **invocation: Any) -> None:
    await worker.register(function, invocation={"url": url, **invocation})
    await known(worker, function)


async def failure(worker: RawWorker, function: str, data: Any = None) -> tuple[str, str]:
    with pytest.raises(CallFailed) as failed:
        await worker.call(function, data)
    return failed.value.code, failed.value.message


async def gone(worker: RawWorker, function: str) -> None:
    async def not_found() -> bool:
        try:
            await worker.call(function)
        except CallFailed as failed:
            return bool(failed.code == "function_not_found")
        return False

    await eventually(not_found)


async def test_the_gateway_calls_the_address(owning: RawWorker, asking: RawWorker, unique: str) -> None:
    async with http_target() as target:
        await register(owning, unique, target.url("/f"), headers={"X-Env": "prod"})
        result = await asking.call(unique, {"ä": 1}, traceparent=TRACEPARENT, baggage="k=v")
        assert result == {"ä": 1}
        (asked,) = target.asked
        assert (asked.method, asked.path) == ("POST", "/f")
        assert asked.value == result
        assert asked.headers["x-env"] == "prod"
        assert asked.headers["x-iii-function-path"] == unique
        assert asked.headers["traceparent"].split("-")[1] == TRACEPARENT.split("-")[1]
        assert asked.headers["traceparent"] != TRACEPARENT  # the request has a span of its own
        assert asked.headers["baggage"] == "k=v"
        await owning.nothing("invokefunction", function_id=unique)


async def test_signatures_are_made_with_the_gateways_secrets(owning: RawWorker, asking: RawWorker, unique: str) -> None:
    async with http_target() as target:
        await register(owning, f"{unique}::h", target.url(), auth={"type": "hmac", "secret_key": "PAY_SECRET"})
        await register(owning, f"{unique}::b", target.url(), auth={"type": "bearer", "token_key": "PAY_TOKEN"})
        await asking.call(f"{unique}::h", {"a": 1})
        await asking.call(f"{unique}::b", {"a": 1})
        signed, bearer = target.asked
        text = signed.headers["x-iii-timestamp"].encode() + b":" + base64.b64encode(signed.body)
        expected = hmac.new(b"k3y-of-pay", text, hashlib.sha256).hexdigest()
        assert signed.headers["x-iii-signature"] == f"sha256={expected}"
        assert bearer.headers["authorization"] == "Bearer t0ken-of-pay"
        listed = json.dumps(await asking.call("engine::functions::list", {}))
        assert unique in listed
        assert "PAY_" not in listed
        assert "k3y-of-pay" not in listed


async def test_answers_become_results_and_errors(owning: RawWorker, asking: RawWorker, unique: str) -> None:
    answers: list[tuple[Answer, Any]] = [
        (Reply(body=[1, "ä"]), [1, "ä"]),
        (Reply(204), None),
        (Reply(302, b"<html>", {"Location": "http://127.0.0.1:1/"}), None),
        (Reply(200, b"<html>"), ("invalid_response", "the response is not JSON (no content type)")),
        (Reply(400, {"error": {"code": "BAD", "message": "no"}}), ("BAD", "no")),
        (Reply(400, b"no"), ("http_error", "HTTP 400 Bad Request")),
    ]
    async with http_target() as target:
        await register(owning, unique, target.url())
        for answer, expected in answers:
            target.behaviour = lambda _, answer=answer: answer  # type: ignore[misc]
            if isinstance(expected, tuple):
                assert await failure(asking, unique) == expected
            else:
                assert await asking.call(unique) == expected
        target.behaviour = lambda _: Reply(204)
        frame = await asking.result(await asking.begin(unique))
        assert frame["result"] is None


async def test_what_fails_says_why(owning: RawWorker, asking: RawWorker, unique: str) -> None:
    async with http_target(Silence()) as target:
        await register(owning, f"{unique}::slow", target.url(), timeout_ms=100)
        code, message = await failure(asking, f"{unique}::slow")
        assert code == "http_request_failed"
        assert "timed out" in message
    await register(owning, f"{unique}::shut", "http://127.0.0.1:1/")
    code, message = await failure(asking, f"{unique}::shut")
    assert code == "http_request_failed"
    assert "connect" in message


async def test_a_call_that_wants_no_answer_is_made_all_the_same(
    owning: RawWorker, asking: RawWorker, unique: str
) -> None:
    async with http_target() as target:
        await register(owning, unique, target.url())
        await asking.send("invokefunction", function_id=unique, data=1, action={"type": "void"})
        await target.wait_for(1)


async def test_jobs_are_delivered_and_retried(owning: RawWorker, asking: RawWorker, unique: str) -> None:
    failing = [503]

    def answer(asked: Asked) -> Answer:
        return Reply(failing.pop() if failing else 200)

    async with http_target(answer) as target:
        await register(owning, unique, target.url())
        receipt = await asking.call(unique, {"n": 1}, action={"type": "enqueue", "queue": "default"})
        assert receipt
        await target.wait_for(2)
        assert [asked.value["n"] for asked in target.asked] == [1, 1]


async def test_triggers_deliver_to_addresses(owning: RawWorker, asking: RawWorker, unique: str) -> None:
    """State, pub/sub and queues, each to a URL of its own."""
    async with http_target() as target:
        kinds = {
            "state": {"scope": unique},
            "subscribe": {"topic": unique},
            "durable:subscriber": {"topic": f"{unique}-queue"},
        }
        for kind, config in kinds.items():
            function = f"{unique}::{kind[:5]}"
            await register(owning, function, target.url(f"/{kind[:5]}"), method="PUT")
            await owning.send("registertrigger", id=function, trigger_type=kind, function_id=function, config=config)
        await owning.flush()

        async def all_there() -> bool:
            await asking.call("state::set", {"scope": unique, "key": "k", "value": 1})
            await asking.call("publish", {"topic": unique, "data": {"a": 1}})
            return {asked.path for asked in target.asked} >= {"/state", "/subsc"}

        await eventually(all_there)
        await asking.call("iii::durable::publish", {"topic": f"{unique}-queue", "data": {"a": 1}})

        def delivered() -> bool:
            return "/durab" in {asked.path for asked in target.asked}

        await eventually(delivered)
        assert {asked.method for asked in target.asked} == {"PUT"}


# -- registrations come and go


async def test_an_unregistered_function_is_gone(owning: RawWorker, asking: RawWorker, unique: str) -> None:
    async with http_target() as target:
        await register(owning, unique, target.url())
        await asking.call(unique, 1)
        await owning.send("unregisterfunction", id=unique)
        await gone(asking, unique)
        assert len(target.asked) >= 1


async def test_a_worker_takes_its_functions_with_it(cluster: Cluster, asking: RawWorker, unique: str) -> None:
    async with http_target() as target:
        async with raw_worker(cluster.gateways[0].url, name="leaving") as leaving:
            await register(leaving, unique, target.url())
            await asking.call(unique, 1)
        await gone(asking, unique)


async def test_the_newest_registration_counts_whatever_it_is(owning: RawWorker, asking: RawWorker, unique: str) -> None:
    async with http_target(Reply(body="first")) as first, http_target(Reply(body="second")) as second:

        async def says(text: str) -> None:
            async def said() -> bool:
                return bool(await asking.call(unique) == text)

            await eventually(said)

        await register(owning, unique, first.url())
        await says("first")
        await owning.register(unique, lambda _: "worker")
        await says("worker")
        await owning.register(unique, invocation={"url": second.url()})
        await says("second")
        await owning.register(unique, invocation={"url": first.url()})
        await says("first")
        await owning.nothing("invokefunction")


async def test_namespaces_are_those_of_workers(cluster: Cluster, asking: RawWorker, unique: str) -> None:
    """Also when the worker says after its registrations where it belongs."""
    async with http_target() as target, raw_worker(cluster.gateways[0].url, name=None) as late:
        await late.register(unique, invocation={"url": target.url()})
        await late.announce("late", namespace=unique)
        await known(asking, unique, namespace=unique)
        assert await asking.call(unique, 1, namespace=unique) == 1
        assert (await failure(asking, unique))[0] == "function_not_found"


async def test_two_workers_may_serve_one_function(cluster: Cluster, asking: RawWorker, unique: str) -> None:
    async with (
        http_target() as target,
        raw_worker(cluster.gateways[0].url) as one,
        raw_worker(cluster.gateways[1].url) as two,
    ):
        await register(one, unique, target.url("/one"))
        await two.register(unique, invocation={"url": target.url("/two")})
        await two.flush()

        async def both() -> bool:
            await asyncio.gather(*(asking.call(unique, 1) for _ in range(8)))
            return {asked.path for asked in target.asked} == {"/one", "/two"}

        await eventually(both)
        await one.close()

        async def only_two() -> bool:
            before = len(target.asked)
            await asyncio.gather(*(asking.call(unique, 1) for _ in range(4)))
            return {asked.path for asked in target.asked[before:]} == {"/two"}

        await eventually(only_two)


@pytest.mark.parametrize(
    ("invocation", "said"),
    [
        ({"url": "no url"}, "url_validation_failed: Invalid URL"),
        ({"url": "http://127.0.0.1/", "method": "BREW"}, "method must be one of"),
        ({"url": "http://127.0.0.1/", "headers": {"Host": "x"}}, "header Host is set by the gateway"),
        (
            {"url": "http://127.0.0.1/", "auth": {"type": "bearer", "token_key": "NOWHERE"}},
            "missing_env_var: environment variable 'NOWHERE' is not set",
        ),
        (
            {"url": "http://127.0.0.1/", "auth": {"type": "hmac", "secret_key": "III_CLUSTER_MODULES"}},
            "environment variable 'III_CLUSTER_MODULES' may not be used",
        ),
        ({"url": "http://nothing.invalid/"}, "url_validation_failed: DNS lookup failed"),
        (1, "invocation: Expected `object`, got `int`"),
    ],
)
async def test_what_is_refused_is_logged_and_leaves_the_worker_alone(
    cluster: Cluster, owning: RawWorker, unique: str, invocation: Any, said: str
) -> None:
    await owning.register(unique, invocation=invocation)

    def logged() -> bool:
        return any(unique in line and said in line for line in cluster.gateways[0].log.read_text().splitlines())

    await eventually(logged)
    await gone(owning, unique)
    await owning.nothing("registrationrejected")


async def test_a_refused_registration_leaves_the_earlier_one(owning: RawWorker, unique: str) -> None:
    async with http_target() as target:
        await register(owning, unique, target.url())
        await owning.register(unique, invocation={"url": "http://"})
        await owning.flush()
        assert await owning.call(unique, 1) == 1


async def test_without_the_module_the_log_says_what_to_configure(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        await worker.register(unique, invocation={"url": "https://example.com/"})
        await worker.flush()
        assert (await failure(worker, unique))[0] == "function_not_found"
        log = shared_cluster.gateways[0].log.read_text()
        assert any(unique in line and "iii-http-functions" in line for line in log.splitlines())


# -- calls outlive what they do not need


async def test_a_call_goes_on_when_the_worker_that_registered_it_is_gone(
    cluster: Cluster, asking: RawWorker, unique: str
) -> None:
    release = asyncio.Event()

    async def wait(_: Asked) -> Answer:
        await release.wait()
        return Reply(body="done")

    async with http_target(wait) as target:
        async with raw_worker(cluster.gateways[0].url, name="leaving") as leaving:
            await register(leaving, unique, target.url())
            calls = [await asking.begin(unique), await asking.begin(unique)]
            await target.wait_for(2)
        async with raw_worker(cluster.gateways[0].url, name="breaking") as breaking:
            await register(breaking, f"{unique}::b", target.url())
            calls.append(await asking.begin(f"{unique}::b"))
            await target.wait_for(3)
            await breaking.abort()
        await gone(asking, unique)
        release.set()
        for call in calls:
            assert (await asking.result(call))["result"] == "done"


async def test_a_gateway_that_drains_lets_calls_finish(make_cluster: Callable[..., Cluster], unique: str) -> None:
    cluster = make_cluster(env=environment())
    release = asyncio.Event()

    async def wait(_: Asked) -> Answer:
        await release.wait()
        return Reply(body="done")

    async with (
        http_target(wait) as target,
        raw_worker(cluster.gateways[0].url) as owning,
        raw_worker(cluster.gateways[1].url) as asking,
    ):
        await register(owning, unique, target.url())
        call = await asking.begin(unique)
        await target.wait_for(1)
        cluster.gateways[0].terminate()
        await owning.wait_closed()
        release.set()
        assert (await asking.result(call))["result"] == "done"
        assert await asyncio.to_thread(cluster.gateways[0].wait) == 0


async def test_a_lost_gateway_ends_the_calls_it_was_making(make_cluster: Callable[..., Cluster], unique: str) -> None:
    cluster = make_cluster(env=environment(), options={"lease-ttl": "1", "lease-interval": "0.3"})
    async with (
        http_target(Silence()) as target,
        raw_worker(cluster.gateways[1].url) as asking,
        raw_worker(cluster.gateways[0].url) as owning,
    ):
        await register(owning, unique, target.url())
        call = await asking.begin(unique)
        await target.wait_for(1)
        cluster.gateways[0].kill()
        assert (await asking.result(call))["error"]["code"] == "invocation_stopped"
