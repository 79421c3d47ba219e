import pytest

from iii_cluster.config.document import parse_document
from iii_cluster.config.errors import Findings
from iii_cluster.config.modules import CLASSES, MODULES, canonical_name
from iii_cluster.config.reference import read_reference
from iii_cluster.config.settings import WorkerListener

PORT_5000 = {"worker_port": 5000, "listeners": (WorkerListener(port=5000),)}


def read(text: str) -> tuple[dict[str, object], Findings]:
    findings = Findings("config.yaml")
    return read_reference(parse_document(text, {}, "config.yaml"), findings), findings


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("port: 5000\n", {"worker_port": 5000}),
        ("port: 0\n", {"worker_port": 49134}),
        ("workers: []\n", {}),
        ("workers:\n", {}),
        ("workers: [{name: iii-worker-manager}]\n", {"listeners": (WorkerListener(),)}),
        (
            "workers: [{name: iii-worker-manager, config: {host: '::1', port: 5000, handshake_timeout_ms: 2500}}]\n",
            {
                "host": "::1",
                "worker_port": 5000,
                "handshake_timeout": 2.5,
                "listeners": (WorkerListener(host="::1", port=5000, handshake_timeout_ms=2500),),
            },
        ),
        ("modules: [{class: 'modules::worker::WorkerModule', config: {port: 5000}}]\n", PORT_5000),
        ("port: 5000\nworkers: [{name: iii-worker-manager, config: {port: 5000}}]\n", PORT_5000),
        ("workers: [{name: iii-worker-manager, config: {rbac: null}}]\n", {"listeners": (WorkerListener(),)}),
        ("workers: [{name: iii-engine-functions}, {name: iii-telemetry, config: {enabled: false}}]\n", {}),
    ],
)
def test_every_generation_of_the_file_gives_the_same_settings(text: str, values: dict[str, object]) -> None:
    result, findings = read(text)
    assert (result, findings.errors, findings.notices) == (values, [], [])


def test_what_is_known_but_missing_is_a_notice_and_not_an_error() -> None:
    _, findings = read(
        "modules:\n"
        "  - class: modules::bridge_client::BridgeClientModule\n"
        "    config: {url: 'ws://other'}\n"
        "  - class: modules::shell::ExecModule\n"
        "registration_namespace_grace_ms: 5000\n"
    )
    assert findings.errors == []
    assert [str(notice) for notice in findings.notices] == [
        "config.yaml:2: modules::bridge_client::BridgeClientModule is not supported yet; nothing is forwarded",
        "config.yaml:4: modules::shell::ExecModule is not supported yet; its commands are not run",
        "config.yaml:5: registration_namespace_grace_ms is not supported yet; registrations are not held back",
    ]


def test_modules_of_every_generation_are_settings_under_their_present_names() -> None:
    result, findings = read(
        "modules:\n"
        "  - class: modules::state::StateModule\n"
        "    config:\n"
        "      adapter: {class: 'modules::state::adapters::KvStore', config: {store_method: in_memory}}\n"
        "  - name: queue\n"
        "    config: {queue_configs: {mail: {concurrency: 2}}}\n"
        "  - name: iii-stream\n"
        "    config: {port: 4000}\n"
    )
    assert findings.errors == []
    modules = result["modules"]
    assert isinstance(modules, tuple)
    assert [module.name for module in modules] == ["iii-state", "iii-queue", "iii-stream"]
    assert modules[1].config == {"queue_configs": {"mail": {"concurrency": 2}}}
    assert result["stream_port"] == 4000


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("worker: []\n", 1, "unknown key `worker`", "did you mean `workers`?"),
        ("a: 1\n", 1, "unknown key `a`", "known: `cluster`"),
        ("port: abc\n", 1, "`port`: expected `int`, got `str`", ""),
        ("port: '5000'\n", 1, "`port`: expected `int`, got `str`", "write the number without quotes"),
        ("port: 70000\n", 1, "`port`: expected `int` <= 65535", ""),
        ("port: true\n", 1, "`port`: expected `int`, got `bool`", ""),
        ("workers: {}\nmodules: []\n", 2, "two names of one list", ""),
        ("\nworkers: {name: iii-http}\n", 2, "`workers` must be a list", ""),
        ("workers:\n  - iii-http\n", 2, "must be a mapping", ""),
        ("workers:\n  - config: {}\n", 2, "needs either a `name` or a `class`", ""),
        ("workers:\n  - {name: iii-http, class: iii-http}\n", 2, "needs either a `name` or a `class`", ""),
        ("workers:\n  - name: 5\n", 2, "as text", ""),
        ("workers:\n  - name: iii-htp\n", 2, "unknown module `iii-htp`", "did you mean `iii-http`?"),
        (
            "modules:\n  - config: {}\n    class: modules::api::RestModule\n",
            3,
            "unknown module",
            "did you mean `modules::api::RestApiModule`?",
        ),
        ("workers:\n  - name: mine\n    image: a/b:1\n", 2, "worker images such as mine", "worker of its own"),
        ("workers:\n  - name: iii-http\n    image: a/b\n", 3, "iii-http is built in", ""),
        ("workers:\n  - name: iii-http\n    confg: {}\n", 3, "unknown key `confg`", "did you mean `config`?"),
        ("workers:\n  - name: iii-http\n    config: 5\n", 3, "`config` of iii-http must be a mapping", ""),
        (
            "workers:\n  - name: iii-http\n    config:\n      prt: 1\n",
            4,
            "iii-http: unknown key `prt`",
            "did you mean `port`?",
        ),
        (
            "workers:\n  - name: iii-state\n    config:\n      adapter:\n        nam: kv\n",
            5,
            "iii-state: unknown key `adapter.nam`",
            "did you mean `name`?",
        ),
        (
            "workers:\n  - name: iii-state\n    config:\n      adapter: kv\n",
            4,
            "`adapter`: expected `object | null`",
            "",
        ),
        (
            "workers:\n  - name: iii-state\n    config:\n      adapter: {name: oracle}\n",
            4,
            "iii-state: unknown adapter `oracle`",
            "or package.module:Class",
        ),
        (
            "workers:\n  - name: iii-state\n    config:\n      adapter:\n        name: redis\n"
            "        config:\n          redis_ur: redis://h\n",
            7,
            "unknown key `adapter.config.redis_ur`",
            "did you mean `redis_url`?",
        ),
        ("workers:\n  - name: iii-state\n    config: {max_value_byte: 1}\n", 3, "`max_value_byte`", "did you mean"),
        ("workers:\n  - name: acme.nothing:Module\n", 2, "there is no module acme", ""),
        ("workers:\n  - name: json:JSONDecoder\n", 2, "json:JSONDecoder is no module", ""),
        ("workers:\n  - name: iii-http\n  - name: iii-http\n", 3, "iii-http was already given on line 2", ""),
        ("workers:\n  - name: iii-http\n  - name: http\n", 3, "two names of one module", ""),
        (
            "workers:\n  - name: iii-worker-manager\n  - name: iii-worker-manager\n    config: {host: '::1'}\n",
            3,
            "`port` is missing",
            "",
        ),
        (
            "workers:\n  - name: iii-worker-manager\n    config:\n      rbac:\n        auth_function: gate::auth\n",
            5,
            "unknown key `rbac.auth_function`",
            "did you mean `auth_function_id`?",
        ),
        (
            "workers:\n  - name: iii-worker-manager\n    config:\n      rbac:\n"
            "        expose_functions: [{mtch: 'a::*'}]\n",
            5,
            "unknown key `mtch` in a filter",
            "known: match",
        ),
        (
            "workers:\n  - name: iii-worker-manager\n    config:\n      handshake_timeout_ms: 0\n",
            4,
            "`handshake_timeout_ms`: expected `int` >= 1",
            "",
        ),
        (
            "port: 1\nworkers: [{name: iii-worker-manager, config: {port: 2}}]\n",
            1,
            "`port` contradicts the port of iii-worker-manager",
            "",
        ),
        ("registration_namespace_grace_ms: soon\n", 1, "expected `int`", ""),
    ],
)
def test_what_is_wrong_is_refused_with_line_and_hint(text: str, line: int, message: str, hint: str) -> None:
    _, findings = read(text)
    assert [error.line for error in findings.errors] == [line]
    assert message in findings.errors[0].message
    assert hint in findings.errors[0].hint
    assert (hint == "") == (findings.errors[0].hint == "")


def test_all_errors_are_reported_at_once() -> None:
    _, findings = read("prt: 1\nworkers:\n  - name: nobody\n  - name: iii-exec\n    config: {exe: x, wtch: 1}\n")
    assert [error.line for error in findings.errors] == [1, 3, 5, 5]


def test_every_class_and_name_leads_to_a_module() -> None:
    assert {canonical_name(name) for name in CLASSES} <= set(MODULES)
    assert all(canonical_name(name) == name for name in MODULES)


def test_everything_wrong_with_modules_is_told_at_once() -> None:
    result, findings = read(
        "workers:\n"
        "  - name: state\n"
        "    config: {max_value_bytes: 0}\n"
        "  - name: queue\n"
        "    config:\n"
        "      queue_configs:\n"
        "        a: {type: lifo}\n"
        "        good: {}\n"
        "        g: 5\n"
        "        h: {concurrency: 0}\n"
        "        i: {concurency: 1}\n"
        "  - name: stream\n"
        "    config: {adapter: {name: bridge}}\n"
    )
    assert "modules" not in result
    assert [error.line for error in findings.errors] == [3, 7, 9, 10, 11, 13]
    state, lifo, number, concurrency, unknown, bridge = [str(error) for error in findings.errors]
    assert "`max_value_bytes`" in state
    assert "`queue_configs.a.type`" in lifo
    assert "one of fifo, standard" in lifo
    assert "`queue_configs.g`" in number
    assert "`queue_configs.h.concurrency`" in concurrency
    assert "did you mean `concurrency`?" in unknown
    assert "the adapter `bridge` is not supported" in bridge


def test_streams_have_a_short_name_as_the_others() -> None:
    result, findings = read("workers: [{name: stream, config: {port: 4000}}]\n")
    assert (findings.errors, result["stream_port"]) == ([], 4000)
