import pytest

from coordinator.console.failure import Failure
from coordinator.console.gate import WRONG_TOKENS_AT_ONCE, Gate, same_place
from coordinator.console.rates import Rate
from iii_cluster.config.settings import Settings
from iii_cluster.node.requests import Scope

TOKEN = "a-token-of-the-console"
WORKER = "a-token-of-the-workers"


def gate(**settings: object) -> Gate:
    return Gate(Settings(**settings))  # type: ignore[arg-type]


def scope(**headers: str) -> Scope:
    return {"headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]}


def bearer(token: str) -> list[str]:
    return [f"Bearer {token}"]


@pytest.mark.parametrize("host", ["localhost:3113", "127.0.0.1:3113", "[::1]:3113", "LOCALHOST", "127.9.9.9"])
def test_on_loopback_a_request_names_this_host(host: str) -> None:
    gate().check_place(scope(host=host))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3113", "10.0.0.1", "localhost.evil.example"])
def test_on_loopback_a_name_that_was_made_to_lead_here_is_refused(host: str) -> None:
    with pytest.raises(Failure) as refused:
        gate().check_place(scope(host=host))
    assert refused.value.status == 403


def test_one_host_header_is_needed() -> None:
    none: Scope = {"headers": []}
    twice: Scope = {"headers": [(b"host", b"localhost"), (b"host", b"localhost")]}
    for bad in (none, twice, scope(host=""), scope(host="[")):
        with pytest.raises(Failure) as refused:
            gate().check_place(bad)
        assert refused.value.status == 400


def test_elsewhere_any_host_header_will_do_but_no_page_of_another_place() -> None:
    away = gate(console_host="0.0.0.0")
    away.check_place(scope(host="cluster.example:3113", origin="http://cluster.example:3113"))
    with pytest.raises(Failure):
        away.check_place(scope(host="cluster.example:3113", origin="http://evil.example"))


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:3113", "localhost:3113", True),
        ("https://console.example", "console.example:443", True),
        ("https://console.example:443", "console.example", True),
        ("HTTP://LocalHost:3113", "localhost:3113", True),
        ("http://localhost:3114", "localhost:3113", False),
        ("http://127.0.0.1:3113", "localhost:3113", False),
        ("null", "localhost:3113", False),
        ("", "localhost:3113", False),
        ("file://localhost:3113", "localhost:3113", False),
        ("http://localhost:3113.evil.example", "localhost:3113", False),
    ],
)
def test_a_page_may_ask_where_it_came_from(origin: str, host: str, same: bool) -> None:
    assert same_place(origin, host) is same


def test_without_console_tokens_nobody_writes() -> None:
    closed = gate(tokens=(WORKER,))
    for shown in ([], bearer(WORKER), bearer("")):
        assert not closed.may_write(shown)
        with pytest.raises(Failure) as refused:
            closed.check_writer(shown, 0.0)
        assert (refused.value.status, refused.value.code) == (403, "read_only")
        assert "console_tokens" in refused.value.message


def test_who_writes_shows_a_console_token_even_on_loopback() -> None:
    open_to_readers = gate(console_tokens=(TOKEN,))
    open_to_readers.check_reader([], 0.0)
    open_to_readers.check_writer(bearer(TOKEN), 0.0)
    for shown, code in (([], "token_required"), (bearer("wrong"), "token_wrong"), ([TOKEN], "token_wrong")):
        with pytest.raises(Failure) as refused:
            open_to_readers.check_writer(shown, 0.0)
        assert (refused.value.status, refused.value.code) == (401, code)


def test_elsewhere_readers_show_a_token_of_the_console_or_of_workers_and_only_the_former_write() -> None:
    away = gate(console_host="0.0.0.0", console_tokens=(TOKEN,), tokens=(WORKER,))
    away.check_reader(bearer(TOKEN), 0.0)
    away.check_reader(bearer(WORKER), 0.0)
    with pytest.raises(Failure):
        away.check_reader([], 0.0)
    with pytest.raises(Failure):
        away.check_writer(bearer(WORKER), 0.0)


def test_elsewhere_without_any_token_everybody_reads_and_that_is_known() -> None:
    away = gate(console_host="0.0.0.0")
    away.check_reader([], 0.0)
    assert away.open_to_network
    assert not gate().open_to_network
    assert not gate(console_host="0.0.0.0", tokens=(WORKER,)).open_to_network


def test_tokens_of_workers_are_not_read_where_nobody_needs_them() -> None:
    gate(tokens_file="/nowhere/tokens")
    with pytest.raises(OSError, match="nowhere"):
        gate(tokens_file="/nowhere/tokens", console_host="0.0.0.0")


def test_wrong_tokens_cannot_be_tried_without_end() -> None:
    guarded = gate(console_tokens=(TOKEN,))
    codes = []
    for _ in range(WRONG_TOKENS_AT_ONCE + 1):
        with pytest.raises(Failure) as refused:
            guarded.check_writer(bearer("guess"), 0.0)
        codes.append(refused.value.status)
    assert codes == [401] * WRONG_TOKENS_AT_ONCE + [429]
    guarded.check_writer(bearer(TOKEN), 0.0)  # who has the right one is not kept waiting


def test_nor_where_nothing_is_refused_for_them() -> None:
    guarded = gate(console_tokens=(TOKEN,))
    for _ in range(WRONG_TOKENS_AT_ONCE):
        guarded.check_shown(bearer("guess"), 0.0)
    with pytest.raises(Failure) as refused:
        guarded.check_shown(bearer("guess"), 0.0)
    assert refused.value.status == 429
    guarded.check_shown(bearer(TOKEN), 0.0)
    guarded.check_shown([], 0.0)


def test_a_rate_allows_some_at_once_and_then_so_many_per_second() -> None:
    rate = Rate(2.0, 3)
    assert [rate.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [rate.take(1.0) for _ in range(3)] == [True, True, False]
    assert [rate.take(100.0) for _ in range(4)] == [True, True, True, False]
