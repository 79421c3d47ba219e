import json
import threading
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from websockets.sync.server import ServerConnection, serve

from iii_cluster.cli.client import RemoteError, connected
from iii_cluster.cli.gateway import Gateway, Unreachable
from iii_cluster.cli.main import main
from iii_cluster.protocol.credentials import token_headers, token_of
from tests.support.cli_engine import Engine, answering, run
from tests.support.ports import release_port, reserve_port


@pytest.fixture
def engine() -> Iterator[Engine]:
    with answering() as engine:
        yield filled(engine)


def filled(engine: Engine) -> Engine:
    engine.replies["echo"] = lambda call: {"result": call["data"]}
    engine.replies["nothing"] = lambda call: {}
    engine.replies["fails"] = lambda call: {"error": {"code": "boom", "message": "it failed", "stacktrace": "at x"}}
    engine.replies["closes"] = lambda call: None
    engine.replies["sleeps"] = lambda call: {"result": None, "invocation_id": "late"}
    return engine


@pytest.fixture
def free_port() -> Iterator[int]:
    port = reserve_port()
    yield port
    release_port(port)


def test_a_call_returns_its_own_result(engine: Engine) -> None:
    with connected(Gateway("127.0.0.1", engine.port)) as client:
        assert client.invoke("echo", {"a": [1, "ü"]}, "shop") == {"a": [1, "ü"]}
        assert client.invoke("nothing", None) is None
    assert engine.calls[0]["namespace"] == "shop"
    assert "namespace" not in engine.calls[1]


def test_a_failed_call_raises_what_the_engine_said(engine: Engine) -> None:
    with (
        connected(Gateway("127.0.0.1", engine.port)) as client,
        pytest.raises(RemoteError, match="boom: it failed") as caught,
    ):
        client.invoke("fails", {})
    assert caught.value.body["stacktrace"] == "at x"


def test_a_closed_connection_and_a_missing_answer_are_told_apart(engine: Engine) -> None:
    with connected(Gateway("127.0.0.1", engine.port)) as client:
        with pytest.raises(TimeoutError, match=r"sleeps did not answer within 0\.1 s"):
            client.invoke("sleeps", {}, timeout=0.1)
        with pytest.raises(Unreachable, match="closed the connection"):
            client.invoke("closes", {})


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ([], {}),
        (["--data", '{"a": 1}'], {"a": 1}),
        (["--data", "[1, null]"], [1, None]),
        (["--data", "null"], None),
        (["a=1", "b=x y", "c=", 'd={"e": true}', "f=a=b"], {"a": 1, "b": "x y", "c": "", "d": {"e": True}, "f": "a=b"}),
        (["--data", '{"a": 1, "b": 2}', "a=3"], {"a": 3, "b": 2}),
    ],
)
def test_invoke_makes_its_argument_of_data_and_pairs(engine: Engine, arguments: list[str], sent: object) -> None:
    result = run(engine, "invoke", "echo", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert engine.calls[0]["data"] == sent
    assert result.stdout == ("" if sent is None else json.dumps(sent, indent=2) + "\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "{"], "--data: invalid JSON"),
        (["--data", "NaN"], "--data: invalid JSON"),
        (["--data", "[1]", "a=1"], "--data must be an object when combined with KEY=VALUE"),
        (["a"], "expected KEY=VALUE, got 'a'"),
        (["=1"], "expected KEY=VALUE, got '=1'"),
    ],
)
def test_invoke_refuses_what_is_no_argument(engine: Engine, arguments: list[str], message: str) -> None:
    result = run(engine, "invoke", "echo", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert engine.calls == []


def test_invoke_prints_nothing_for_null(engine: Engine) -> None:
    assert run(engine, "invoke", "nothing").output == ""


def test_invoke_reports_a_remote_error_as_json(engine: Engine) -> None:
    result = run(engine, "invoke", "fails")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads(result.stderr) == {"code": "boom", "message": "it failed", "stacktrace": "at x"}


def test_invoke_reports_a_timeout_as_json(engine: Engine) -> None:
    result = run(engine, "invoke", "sleeps", "--timeout-ms", "100")
    assert result.exit_code == 1
    assert json.loads(result.stderr) == {"code": "TIMEOUT", "message": "sleeps did not answer within 0.1 s"}


def test_what_is_not_a_gateway_is_one_clear_line() -> None:
    server = serve(lambda socket: None, "127.0.0.1", 0, process_request=lambda socket, request: socket.respond(404, ""))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        port = server.socket.getsockname()[1]
        result = CliRunner().invoke(main, ["workers", "--port", str(port)])
    finally:
        server.shutdown()
        thread.join()
    assert (result.exit_code, result.stderr) == (
        1,
        f"error: what listens on 127.0.0.1:{port} is not a gateway (status 404)\n",
    )


@pytest.mark.parametrize("command", [["invoke", "echo"], ["workers"]])
def test_a_port_that_greets_nobody_is_no_gateways(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iii_cluster.cli.client.GREETING_TIMEOUT", 0.2)

    def listen_only(socket: ServerConnection) -> None:
        for _ in socket:
            pass

    server = serve(listen_only, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        port = server.socket.getsockname()[1]
        result = CliRunner().invoke(main, [*command, "--port", str(port)])
    finally:
        server.shutdown()
        thread.join()
    said = f"error: what listens on 127.0.0.1:{port} is not a gateway's worker port (no greeting within 0.2 s)\n"
    assert (result.exit_code, result.stderr) == (1, said)


@pytest.mark.parametrize("command", [["invoke", "echo"], ["workers"], ["functions"], ["triggers"]])
def test_nobody_there_is_one_clear_line(free_port: int, command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--port", str(free_port)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: nobody listens on 127.0.0.1:{free_port}; is the cluster running?\n"


def test_the_address_may_come_from_the_environment(free_port: int) -> None:
    environ = {"III_CLUSTER_ADDRESS": "localhost", "III_CLUSTER_WORKER_PORT": str(free_port)}
    result = CliRunner().invoke(main, ["workers"], env=environ)
    assert f"localhost:{free_port}" in result.stderr


ROWS = {
    "workers": ("engine::workers::list", {"workers": [{"name": "orders", "id": "w1", "runtime": "python"}]}),
    "functions": ("engine::functions::list", {"functions": [{"function_id": "a::b", "description": "x\ty\x1b"}]}),
    "triggers": ("engine::registered-triggers::list", {"registered_triggers": [{"id": "t1", "function_id": "a::b"}]}),
}


@pytest.mark.parametrize("name", ROWS)
def test_lists_are_json_or_one_line_per_row(engine: Engine, name: str) -> None:
    function, answer = ROWS[name]
    engine.replies[function] = lambda call: {"result": answer}
    as_json = run(engine, name, "--json")
    assert json.loads(as_json.stdout) == next(iter(answer.values()))
    header, row = run(engine, name).stdout.splitlines()
    assert header.count("\t") == row.count("\t")
    assert row.isascii()
    assert "\x1b" not in row


def test_a_list_the_engine_refuses_is_one_line(engine: Engine) -> None:
    engine.replies["engine::workers::list"] = engine.replies["fails"]
    result = run(engine, "workers")
    assert (result.exit_code, result.stderr) == (1, "error: boom: it failed\n")


@pytest.mark.parametrize(
    ("environ", "token"),
    [
        ({}, ""),
        ({"III_TOKEN": "one, two"}, "one"),
        ({"III_CLUSTER_TOKENS": "three,four"}, "three"),
        ({"III_TOKEN": "", "III_CLUSTER_TOKENS": "three"}, "three"),
        ({"III_TOKEN": "one", "III_CLUSTER_TOKENS": "three"}, "one"),
    ],
)
def test_commands_show_the_first_token_of_the_environment(environ: dict[str, str], token: str) -> None:
    assert token_of(environ) == token
    assert token_headers(environ) == ({"Authorization": f"Bearer {token}"} if token else {})
