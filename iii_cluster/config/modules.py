"""The reference engine's modules: names, keys, and what this build does with each."""

from msgspec import Struct

WORKER_MANAGER = "iii-worker-manager"
HTTP = "iii-http"
STREAM = "iii-stream"
HTTP_FUNCTIONS = "iii-http-functions"  # its entry says which addresses may be called


class Module(Struct, frozen=True, kw_only=True):
    """`missing` says what an operator goes without while the module is not supported; "" when nothing is.

    `keys` are those of its config, None when its class knows them.
    """

    keys: frozenset[str] | None
    missing: str = ""


def _module(keys: str, missing: str = "") -> Module:
    return Module(keys=frozenset(keys.split()), missing=missing)


_BUILT = Module(keys=None)

MODULES: dict[str, Module] = {
    WORKER_MANAGER: _BUILT,
    "iii-engine-functions": _module(""),
    # Usage statistics for the vendor: nothing is sent, so nothing is missing.
    "iii-telemetry": _module("enabled api_key sdk_api_key heartbeat_interval_secs"),
    "configuration": _module("adapter ttl_seconds", "its functions are unknown"),
    "iii-observability": _BUILT,
    HTTP: _BUILT,
    "iii-state": _BUILT,
    "iii-stream": _BUILT,
    "iii-queue": _BUILT,
    "iii-pubsub": _BUILT,
    "iii-cron": _BUILT,
    "iii-exec": _module("exec watch", "its commands are not run"),
    HTTP_FUNCTIONS: _BUILT,
    "iii-bridge": _module("url expose forward service_id service_name", "nothing is forwarded"),
}

CLASSES: dict[str, str] = {
    "modules::worker::WorkerModule": WORKER_MANAGER,
    "modules::telemetry::TelemetryModule": "iii-telemetry",
    "modules::observability::OtelModule": "iii-observability",
    "modules::api::RestApiModule": "iii-http",
    "modules::state::StateModule": "iii-state",
    "modules::stream::StreamModule": "iii-stream",
    "modules::queue::QueueModule": "iii-queue",
    "modules::pubsub::PubSubModule": "iii-pubsub",
    "modules::cron::CronModule": "iii-cron",
    "modules::shell::ExecModule": "iii-exec",
    "modules::http_functions::HttpFunctionsModule": "iii-http-functions",
    "modules::bridge_client::BridgeClientModule": "iii-bridge",
}

OLD_NAMES: dict[str, str] = {name: f"iii-{name}" for name in ("http", "state", "stream", "queue", "pubsub", "cron")}


def canonical_name(name: str) -> str | None:
    """The module's present name for a name or class of any generation, None when nobody knows it."""
    name = CLASSES.get(name, OLD_NAMES.get(name, name))
    return name if name in MODULES else None
