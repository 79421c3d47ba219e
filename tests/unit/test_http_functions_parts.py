"""Looking up names, taking turns, and when a request is repeated."""

import asyncio
from collections.abc import Sequence

import pytest

from iii_cluster.modules.http_functions import repeats
from iii_cluster.modules.http_functions.places import Places
from iii_cluster.outgoing import names as names_module
from iii_cluster.outgoing.addresses import is_public
from iii_cluster.outgoing.answer import Answer
from iii_cluster.outgoing.failures import ExchangeFailed, Reached
from iii_cluster.outgoing.names import Names, SystemLookup
from iii_cluster.protocol.errors import EngineError


class FakeLookup:
    """What a name server says."""

    def __init__(self, **rows: Sequence[str]) -> None:
        self.rows = rows
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        await self.gate.wait()
        if host not in self.rows:
            raise OSError("no such host")
        return self.rows[host]


async def refusal(names: Names, host: str) -> str:
    with pytest.raises(EngineError) as refused:
        await names.addresses(host)
    assert refused.value.code == "url_validation_failed"
    return refused.value.message


async def test_a_name_is_good_if_all_its_addresses_are() -> None:
    names = Names(
        is_public,
        FakeLookup(
            good=["1.1.1.1", "2606:4700::1111"], bad=["1.1.1.1", "10.0.0.1"], six=["fe80::1%eth0"], odd=["?"], none=[]
        ),
    )
    assert await names.addresses("good") == ["1.1.1.1", "2606:4700::1111"]
    assert await refusal(names, "bad") == "Private IP blocked"
    assert await refusal(names, "six") == "Private IP blocked"
    assert await refusal(names, "odd") == "DNS lookup failed"
    assert await refusal(names, "none") == "DNS lookup failed"
    assert await refusal(names, "unknown") == "DNS lookup failed"


async def test_who_asks_at_the_same_time_asks_once() -> None:
    lookup = FakeLookup(good=["1.1.1.1"])
    names = Names(is_public, lookup)
    lookup.gate.clear()
    asking = [asyncio.create_task(names.addresses("good")) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    lookup.gate.set()
    assert await asyncio.gather(*asking[1:]) == [["1.1.1.1"]] * 4
    assert lookup.asked == ["good"]


async def test_an_answer_is_remembered_and_a_failure_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup = FakeLookup(good=["1.1.1.1"])
    names = Names(is_public, lookup)
    for _ in range(3):
        await names.addresses("good")
        await refusal(names, "new")
    lookup.rows["new"] = ["1.0.0.1"]
    assert await names.addresses("new") == ["1.0.0.1"]
    assert lookup.asked == ["good", "new", "new", "new", "new"]
    monkeypatch.setattr(names_module, "LIFETIME", 0.0)
    names = Names(is_public, lookup)
    await names.addresses("good")
    lookup.rows["good"] = ["10.0.0.1"]
    assert await refusal(names, "good") == "Private IP blocked"


async def test_only_so_many_names_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "MAX_NAMES", 2)
    lookup = FakeLookup(a=["1.1.1.1"], b=["1.1.1.1"], c=["1.1.1.1"])
    names = Names(is_public, lookup)
    for host in "abcca":
        await names.addresses(host)
    assert lookup.asked == ["a", "b", "c", "a"]


async def test_closing_ends_what_is_being_asked() -> None:
    lookup = FakeLookup()
    names = Names(is_public, lookup)
    lookup.gate.clear()
    asking = asyncio.create_task(names.addresses("x"))
    await asyncio.sleep(0)
    asking.cancel()
    await names.close()
    await asyncio.gather(asking, return_exceptions=True)


async def test_the_system_is_asked() -> None:
    lookup = SystemLookup()
    assert "127.0.0.1" in await lookup("localhost")
    for host in ("nothing.invalid", "a" * 300 + ".example"):
        with pytest.raises(OSError):  # noqa: PT011
            await lookup(host)


async def test_one_host_takes_no_places_from_the_others() -> None:
    places = Places(3, 2)
    release = asyncio.Event()
    order: list[str] = []

    async def work(host: str) -> None:
        async with places.at(host):
            order.append(host)
            await release.wait()

    tasks = [asyncio.create_task(work(host)) for host in ("a", "a", "a", "a", "b", "c")]
    for _ in range(5):
        await asyncio.sleep(0)
    assert order == ["a", "a", "b"]
    assert (places.taken, places.waiting) == (3, 3)
    tasks[2].cancel()
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(order) == ["a", "a", "a", "b", "c"]
    assert (places.taken, places.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("reached", "final", "methods"),
    [
        (Reached.NOTHING, False, {"GET", "PUT", "DELETE", "POST", "PATCH"}),
        (Reached.NOTHING, True, set()),
        (Reached.REQUEST, False, {"GET", "PUT", "DELETE"}),
        (Reached.REQUEST, True, set()),
        (Reached.HEAD, False, set()),
    ],
)
def test_what_may_have_been_done_is_only_repeated_if_that_changes_nothing(
    reached: Reached, final: bool, methods: set[str]
) -> None:
    failed = ExchangeFailed(reached, "", final=final)
    again = {m for m in ("GET", "PUT", "DELETE", "POST", "PATCH") if repeats.after_failure(m, failed)}
    assert again == methods


def test_only_servers_that_are_busy_are_asked_again() -> None:
    again = [
        (method, status)
        for method in ("GET", "PUT", "DELETE", "POST", "PATCH")
        for status in (200, 302, 400, 429, 500, 501, 502, 503, 504)
        if repeats.after_answer(method, Answer(status, b""))
    ]
    assert again == [(method, status) for method in ("GET", "PUT", "DELETE") for status in (502, 503, 504)]


def test_pauses_grow_up_to_a_limit_and_differ() -> None:
    assert [repeats.pause(n, chance=0.0) for n in (1, 2, 3, 9)] == [0.05, 0.1, 0.2, 1.0]
    assert [repeats.pause(n, chance=1.0) for n in (1, 2, 3, 9)] == [0.1, 0.2, 0.4, 2.0]
    assert repeats.pause(1, 7.0) == 7.0
    assert 0.05 <= repeats.pause(1) <= 0.1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("-7", 0.0),
        ("x", 0.0),
        ("Wed, 15 Nov 2023 00:00:00 GMT", 92800.0),
        ("Wed, 15 Nov 2023 00:00:00", 92800.0),
        ("Tue, 14 Nov 2023 00:00:00 GMT", 6400.0),
        ("Mon, 13 Nov 2023 00:00:00 GMT", 0.0),
        ("Wed, 99 Nov 99999 00:00:00 GMT", 0.0),
        ("9" * 4000, 9999999999.0),
    ],
)
def test_how_long_a_server_wants_to_be_left_alone(text: str, seconds: float) -> None:
    at = 1_699_913_600.0 + 0  # Mon, 13 Nov 2023 22:13:20 GMT
    assert repeats.retry_after(text, at) == seconds
