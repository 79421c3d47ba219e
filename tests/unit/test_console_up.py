"""What commands do about the console: its port, its tokens, what they show."""

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from iii_cluster.access.check import unusable_files
from iii_cluster.cli.screen import Screen
from iii_cluster.cli.summary import print_summary
from iii_cluster.cli.up import _with_console_token, _with_shared_ports
from iii_cluster.config.load import Config
from iii_cluster.config.settings import Settings, Topology
from iii_cluster.local.child import Ready
from iii_cluster.local.ports import PortTaken
from tests.support.ports import release_port, reserve_port

FREE = Settings(worker_port=0, http_port=0, stream_port=0, console_port=0, host="127.0.0.1")


class Terminal(Screen):
    @property
    def on_terminal(self) -> bool:
        return True


def test_on_a_terminal_a_token_is_made_up_each_time() -> None:
    first, token = _with_console_token(Settings(), Terminal())
    assert first.console_tokens == (token,)
    assert len(token) >= 32
    assert _with_console_token(Settings(), Terminal())[1] != token


@pytest.mark.parametrize(
    "settings",
    [Settings(console_tokens=("given",)), Settings(console_tokens_file="/given"), Settings(console="off")],
)
def test_none_is_made_up_where_some_are_given_or_nobody_needs_one(settings: Settings) -> None:
    assert _with_console_token(settings, Terminal()) == (settings, "")


def test_none_is_made_up_where_the_summary_goes_to_a_file() -> None:
    assert _with_console_token(Settings(), Screen()) == (Settings(), "")


def test_a_colour_that_is_asked_for_makes_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not Screen().on_terminal


def test_coordinators_share_a_port_that_is_held_for_them() -> None:
    config = Config(settings=FREE, topology=Topology(gateways=0, coordinators=2))
    with ExitStack() as held:
        settings = _with_shared_ports(config, held)
        assert settings.console_port
        assert settings.worker_port == 0
    with ExitStack() as held:
        assert _with_shared_ports(replace(config, settings=settings), held) == settings


def test_a_console_port_that_somebody_has_is_named_with_its_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        config = Config(settings=replace(FREE, console_port=port), topology=Topology())
        with ExitStack() as held, pytest.raises(PortTaken, match=f"port {port} .* with --console-port"):
            _with_shared_ports(config, held)
        off = replace(config, settings=replace(config.settings, console="off"))
        none = replace(config, topology=Topology(coordinators=0))
        for nobody in (off, none):
            with ExitStack() as held:
                assert _with_shared_ports(nobody, held).console_port == port


@pytest.mark.parametrize(
    ("settings", "token", "shown"),
    [
        (Settings(), "made-up", "http://127.0.0.1:3113/#token=made-up"),
        (Settings(), "", "http://127.0.0.1:3113/ (read-only)"),
        (Settings(console_tokens=("s3cret",)), "", "http://127.0.0.1:3113/"),
        (Settings(console_host="::", admin_tls_cert_file="/c"), "", "https://[::1]:3113/ (read-only)"),
    ],
)
async def test_the_summary_shows_where_the_console_is(
    settings: Settings, token: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = reserve_port()
    nodes = [Ready("c", "coordinator", 1, {"admin": port, "console": 3113})]
    await print_summary(Screen(), settings, nodes, False, token)
    release_port(port)
    said = capsys.readouterr().out
    assert f"console     {shown}\n" in said
    assert "s3cret" not in said


def test_tokens_that_a_console_could_not_use_are_told_before_anything_is_started(tmp_path: Path) -> None:
    empty = tmp_path / "tokens"
    empty.write_text("# none\n")
    settings = Settings(console_tokens_file=str(empty))
    [found] = unusable_files(settings, gateway=False, coordinator=True)
    assert found.where == ("console_tokens_file",)
    assert unusable_files(settings, gateway=False) == []
    assert unusable_files(replace(settings, console="off"), gateway=False, coordinator=True) == []
    away = Settings(console_host="0.0.0.0", tokens_file=os.fspath(empty))
    assert len(unusable_files(away, gateway=False, coordinator=True)) == 1
    assert len(unusable_files(away, gateway=True, coordinator=True)) == 1
    assert unusable_files(replace(away, console_host="127.0.0.1"), gateway=False, coordinator=True) == []
