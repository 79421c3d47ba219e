"""`iii-cluster up` with everything real, as an operator runs it."""

import asyncio
import json
import os
import re
import signal
import socket
from pathlib import Path

import psutil
import pytest
from redis import Redis

from tests.support.eventually import eventually
from tests.support.up import COMMAND, PORTS, MakeUp, answer, command, gone
from tests.support.valkey import ValkeyServer


async def test_one_command_runs_a_cluster_and_one_signal_ends_all_of_it(make_up: MakeUp) -> None:
    up = await make_up("--gateways", "2").ready()
    family = up.family()
    assert len(family) == 6

    cluster = answer("status", "--json", "--admin", up.admin)
    assert sorted(node["role"] for node in cluster["nodes"]) == ["coordinator", "gateway", "gateway", "shard", "shard"]
    assert all(node["ready"] for node in cluster["nodes"])
    assert sum(node["slots"] for node in cluster["nodes"]) == 1024
    assert cluster["leader"] == up.find(r"^leader +(\S+)")
    assert int(up.find(r"^http +routes at http://127.0.0.1:(\d+)")) > 0
    assert int(up.find(r"^streams +clients connect to ws://127.0.0.1:(\d+)")) > 0

    assert isinstance(answer("workers", "--json", "--port", up.worker_port), list)
    functions = answer("functions", "--json", "--port", up.worker_port)
    assert "state::get" in {function["function_id"] for function in functions}
    assert answer("triggers", "--json", "--port", up.worker_port) == []
    unknown = command("invoke", "no::such", "--port", up.worker_port)
    assert unknown.returncode == 1
    assert json.loads(unknown.stderr)["code"] == "function_not_found"

    up.child.send_signal(signal.SIGINT)
    assert up.wait(40) == 0, up.tail()
    assert gone(family)
    assert "killed" not in up.log.read_text()
    assert [path.name for path in up.data_dir.iterdir()] == ["appendonlydir"]


async def test_a_process_that_dies_comes_back(make_up: MakeUp) -> None:
    up = await make_up().ready()
    up.node("shard").kill()
    await eventually(lambda: up.find(r"shard-1 (was killed by signal 9; starting it again)"))
    await eventually(lambda: up.find(r"shard-1 is back as (\S+)"), within=30)
    assert up.stop() == 0


async def test_the_embedded_valkey_that_dies_comes_back_with_its_cluster(make_up: MakeUp) -> None:
    up = await make_up().ready()
    [valkey] = [process for process in up.family() if "valkey-server" in process.name()]
    valkey.kill()
    await eventually(lambda: up.find(r"valkey is back as (\S+)"), within=30)

    async def everybody_is_ready() -> bool:
        completed = command("status", "--json", "--admin", up.admin)
        return completed.returncode == 0 and all(node["ready"] for node in json.loads(completed.stdout)["nodes"])

    await eventually(everybody_is_ready, within=30)
    assert up.stop() == 0


async def test_a_killed_supervisor_leaves_no_orphan_and_its_data_can_be_used_again(make_up: MakeUp) -> None:
    up = await make_up().ready()
    family = up.family()
    up.kill()
    await eventually(lambda: gone(family), within=40)
    second = await make_up().ready()
    assert second.stop() == 0


async def test_a_second_interrupt_ends_everything_at_once(make_up: MakeUp) -> None:
    up = await make_up().ready()
    family = up.family()
    up.node("gateway").suspend()  # it will not hear the first one
    up.child.send_signal(signal.SIGINT)
    await eventually(lambda: up.find("(stopping; once more)"))
    up.child.send_signal(signal.SIGINT)
    assert up.wait(10) == 130
    assert gone(family)


async def test_two_clusters_do_not_share_a_data_directory(make_up: MakeUp) -> None:
    first = await make_up().ready()
    second = make_up()
    assert second.wait() == 1
    assert "is in use by another `iii-cluster up`; choose another one with --data-dir" in second.log.read_text()
    assert first.stop() == 0


async def test_two_clusters_do_not_share_a_data_directory_where_redis_is_elsewhere(
    make_up: MakeUp, tmp_path: Path
) -> None:
    server = ValkeyServer(tmp_path)
    try:
        server.start()
        first = await make_up("--redis-url", server.url).ready()
        up_file = (first.data_dir / "up.json").read_text()
        second = make_up("--redis-url", server.url)
        assert second.wait() == 1
        assert "is in use by another `iii-cluster up`; choose another one with --data-dir" in second.log.read_text()
        assert (first.data_dir / "up.json").read_text() == up_file
        assert first.stop() == 0
    finally:
        server.close()


async def test_a_data_directory_that_cannot_be_costs_no_more_than_restarts(make_up: MakeUp, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    server = ValkeyServer(tmp_path)
    try:
        server.start()
        up = await make_up("--redis-url", server.url).ready()
        assert "`iii-cluster restart` will not work: " in up.log.read_text()
        assert up.stop() == 0
    finally:
        server.close()


@pytest.mark.parametrize("flag", ["--worker-port", "--stream-port", "--admin-port", "--redis-port"])
def test_a_taken_port_is_named_with_its_flag_before_anything_starts(make_up: MakeUp, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        up = make_up(flag, str(port))
        assert up.wait() == 1
    assert up.log.read_text() == f"error: port {port} is already in use; choose another one with {flag}\n"


def test_a_child_that_cannot_start_fails_the_command_with_its_last_lines(
    make_up: MakeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken" / "shard").mkdir(parents=True)
    (tmp_path / "broken" / "shard" / "__init__.py").write_text("")
    (tmp_path / "broken" / "shard" / "service.py").write_text("raise SystemError('broken on purpose')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    up = make_up("--shards", "1")
    assert up.wait(60) == 1
    told = up.log.read_text().partition("error: shard-1 ended with exit code 1 before it was ready\n")[2]
    assert "    SystemError: broken on purpose\n" in told
    assert "starting it again" not in up.log.read_text()


def test_a_redis_that_does_not_answer_is_named_without_its_password(make_up: MakeUp) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        up = make_up("--redis-url", f"redis://:hunter2@127.0.0.1:{nobody.getsockname()[1]}")
        assert up.wait() == 1
    assert "error: no Redis answers at redis://***@127.0.0.1" in up.log.read_text()
    assert "hunter2" not in up.log.read_text()


async def test_the_password_of_redis_is_shown_nowhere(make_up: MakeUp, tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path)
    try:
        server.start()
        with Redis.from_url(server.url) as client:
            client.config_set("requirepass", "hunter2")
        config = tmp_path / "config.yaml"
        config.write_text(f"cluster:\n  redis_urls: redis://:${{PASSWORD:hunter2}}@127.0.0.1:{server.port}\n")
        up = await make_up("--config", str(config), "--log-level", "debug").ready()
        assert not any("hunter2" in " ".join(process.cmdline()) for process in up.family())
        assert up.find(r"^redis +(\S+)") == f"redis://***@127.0.0.1:{server.port}"
        assert up.stop() == 0
        assert "hunter2" not in up.log.read_text()
        assert list(up.data_dir.iterdir()) == []
    finally:
        server.close()


def test_a_wrong_configuration_is_told_with_all_its_lines(make_up: MakeUp, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("workers:\n  - name: iii-htp\ncluster:\n  shard: 2\n")
    up = make_up("--config", str(config))
    assert up.wait() == 2
    assert up.log.read_text().splitlines() == [
        f"error: {config}:2: unknown module `iii-htp` (did you mean `iii-http`?)",
        f"error: {config}:4: unknown key `cluster.shard` (did you mean `shards`?)",
    ]


async def test_what_is_not_supported_yet_is_said_and_does_not_stop_the_start(make_up: MakeUp, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("modules:\n  - class: modules::shell::ExecModule\ncluster: {shards: 1}\n")
    up = await make_up("--config", str(config)).ready()
    text = up.log.read_text()
    assert f"notice: {config}:2: modules::shell::ExecModule is not supported yet; its commands are not run\n" in text
    assert text.count("notice: ") == 1  # by us, not once more by every child
    assert len(re.findall(r"^shard ", text, re.MULTILINE)) == 1
    assert up.stop() == 0


async def test_a_reader_of_the_summary_that_leaves_does_not_end_the_cluster(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    log = tmp_path / "errors.log"
    argv = [*COMMAND, "up", *PORTS, "--data-dir", str(tmp_path / "data"), "--shards", "1"]
    with log.open("wb") as errors:
        up = await asyncio.create_subprocess_exec(*argv, stdout=write, stderr=errors)
    os.close(write)
    try:
        await eventually(lambda: log.read_text().count("action=node_ready") == 3, within=60)
        # The summary comes at once; a restart is long enough after it.
        [shard] = [process for process in psutil.Process(up.pid).children() if "shard" in process.cmdline()]
        shard.kill()
        await eventually(lambda: "shard-1 is back" in log.read_text(), within=30)
        up.send_signal(signal.SIGINT)
        assert await up.wait() == 0
    finally:
        if up.returncode is None:
            up.kill()
            await up.wait()
    assert log.read_text().endswith("iii-cluster: stopped\n")
