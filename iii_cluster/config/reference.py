"""The reference engine's part of a configuration file, in the forms of all its generations.

workers: [{name, config?}]                        modules: [{class, config?}]
registration_namespace_grace_ms: 5000             port: 49134
"""

from typing import Any, cast

from msgspec import Struct

from iii_cluster.access.filters import check_filters
from iii_cluster.modules.imports import BadConfig, convert, is_import_path
from iii_cluster.modules.load import make
from iii_cluster.modules.observability.alert_checks import check_webhooks
from iii_cluster.telemetry.config import OBSERVABILITY, from_entry

from .document import Document, Place
from .errors import Findings, did_you_mean
from .fields import BadValue, convert_plain
from .modules import CLASSES, HTTP, HTTP_FUNCTIONS, MODULES, OLD_NAMES, STREAM, WORKER_MANAGER, canonical_name
from .settings import WORKER_PORT, Limit, ModuleEntry, Port, WorkerListener

ROOT_KEYS = ("workers", "modules", "port", "registration_namespace_grace_ms", "cluster")
ENTRY_KEYS = frozenset({"name", "class", "image", "config"})
PORTS = {HTTP: "http_port", STREAM: "stream_port"}  # modules that listen, and the setting of their port


class Entry(Struct):
    """One well-formed entry of `workers:` or `modules:`."""

    name: str
    written: str
    place: Place
    config: dict[str, Any]


def read_reference(document: Document, findings: Findings) -> dict[str, object]:
    """Settings by field name. Modules that are known but missing here end up as notices."""
    for key in document.root:
        if key not in ROOT_KEYS:
            findings.error(document.line((key,)), f"unknown key `{key}`", did_you_mean(key, ROOT_KEYS))

    values: dict[str, object] = {}
    entries = _entries(document, findings)
    for entry in entries:
        if entry.name == WORKER_MANAGER:
            listener = _worker_manager(document, entry, values, findings)
            if listener is not None:
                values["listeners"] = (*cast(tuple[WorkerListener, ...], values.get("listeners", ())), listener)
        elif entry.name not in MODULES or MODULES[entry.name].keys is None:
            _module(document, entry, values, findings)
        elif missing := MODULES[entry.name].missing:
            findings.notice(document.line(entry.place), f"{entry.written} is not supported yet; {missing}")
    _check_webhooks(document, entries, findings)
    _read_port(document, values, findings)
    _read_grace(document, findings)
    return values


def _entries(document: Document, findings: Findings) -> list[Entry]:
    """The module list; of listeners there may be several."""
    root = document.root
    if root.get("workers") is not None and root.get("modules") is not None:
        findings.error(document.line(("modules",)), "`workers` and `modules` are two names of one list; keep one")
        return []
    key = "modules" if root.get("modules") is not None else "workers"
    items = root.get(key)
    if items is None:
        return []
    if not isinstance(items, list):
        findings.error(document.line((key,)), f"`{key}` must be a list")
        return []

    entries: list[Entry] = []
    known: dict[str, Entry] = {}
    for index, item in enumerate(items):
        entry = _entry(document, item, (key, index), findings)
        if entry is None:
            continue
        if (first := known.get(entry.name)) and entry.name != WORKER_MANAGER:
            _refuse_second(document, first, entry, findings)
            continue
        _check_keys(document, entry, findings)
        known[entry.name] = entry
        entries.append(entry)
    return entries


def _entry(document: Document, item: object, place: Place, findings: Findings) -> Entry | None:
    line = document.line(place)
    if not isinstance(item, dict):
        findings.error(line, f"an entry of `{place[0]}` must be a mapping with `name` or `class`")
        return None
    for key in item:
        if key not in ENTRY_KEYS:
            findings.error(document.line((*place, key)), f"unknown key `{key}`", did_you_mean(key, ENTRY_KEYS))

    names = [item[key] for key in ("name", "class") if item.get(key) is not None]
    if len(names) != 1 or not isinstance(names[0], str):
        findings.error(line, "an entry needs either a `name` or a `class`, as text")
        return None
    written = names[0]
    name = written if is_import_path(written) else canonical_name(written)
    if name is None:
        _refuse_unknown(document, item, written, place, findings)
        return None
    if item.get("image") is not None:
        findings.error(document.line((*place, "image")), f"{written} is built in and takes no `image`")
    config = item.get("config")
    if config is None:
        config = {}
    if not isinstance(config, dict):
        findings.error(document.line((*place, "config")), f"`config` of {written} must be a mapping")
        return None
    return Entry(name, written, place, config)


def _refuse_unknown(document: Document, item: dict[str, Any], written: str, place: Place, findings: Findings) -> None:
    line = document.line((*place, "class" if "class" in item else "name"))
    if item.get("image") is not None:
        findings.error(line, f"worker images such as {written} are not started here", "run it as a worker of its own")
    else:
        known = CLASSES if "::" in written else MODULES
        findings.error(line, f"unknown module `{written}`", did_you_mean(written, known))


def _refuse_second(document: Document, first: Entry, second: Entry, findings: Findings) -> None:
    line = document.line(second.place)
    before = f"line {document.line(first.place)}"
    if second.written != first.written and {second.written, first.written} & set(OLD_NAMES):
        findings.error(line, f"{second.written} and {first.written} ({before}) are two names of one module")
    else:
        findings.error(line, f"{second.written} was already given on {before}")


def _check_keys(document: Document, entry: Entry, findings: Findings) -> None:
    place = (*entry.place, "config")
    known = MODULES[entry.name].keys if entry.name in MODULES else None
    if known is None:
        return
    for key in entry.config:
        if key not in known:
            line = document.line((*place, key))
            findings.error(line, f"unknown key `{key}` of {entry.written}", did_you_mean(key, known))


def _module(document: Document, entry: Entry, values: dict[str, object], findings: Findings) -> None:
    """A module of this build, or of a user's package: its class knows what its config may be."""
    made = ModuleEntry(entry.name, entry.config)
    try:
        make(made)
    except BadConfig as error:
        for one in (error, *error.others):
            place = (*entry.place, "config", *one.place) if one.place else entry.place
            findings.error(document.line(place), f"{entry.written}: {one.message}", one.hint)
        return
    values["modules"] = (*cast(tuple[ModuleEntry, ...], values.get("modules", ())), made)
    if entry.name in PORTS:
        _note_files(document, entry, entry.name, findings)
    port = entry.config.get("port")
    if entry.name in PORTS and port is not None:
        values[PORTS[entry.name]] = port
        findings.lines[PORTS[entry.name]] = document.line((*entry.place, "config", "port"))


def _check_webhooks(document: Document, entries: list[Entry], findings: Findings) -> None:
    """One module says where alerts tell of themselves, and another one whether that may be."""
    configs = {entry.name: entry for entry in entries}
    observability, http_functions = configs.get(OBSERVABILITY), configs.get(HTTP_FUNCTIONS)
    if observability is None:
        return
    try:
        rules = from_entry(observability.config).alerts
    except BadConfig:
        return  # which was told already
    for one in check_webhooks(rules, http_functions.config if http_functions else {}):
        place = (*observability.place, "config", *one.place)
        findings.error(document.line(place), f"{observability.written}: {one.message}", one.hint)


def _note_files(document: Document, entry: Entry, port: str, findings: Findings) -> None:
    """Where the files of a port are named, which are only looked at when it is about to be started."""
    tls = entry.config.get("tls")
    for path in (("tokens_file",), *(("tls", key) for key in (tls if isinstance(tls, dict) else ()))):
        findings.lines[".".join((port, *path))] = document.line((*entry.place, "config", *path))


def _worker_manager(
    document: Document, entry: Entry, values: dict[str, object], findings: Findings
) -> WorkerListener | None:
    """A listener; the first one's address is that of the settings."""
    config = {key: value for key, value in entry.config.items() if value is not None}
    try:
        listener: WorkerListener = convert(config, WorkerListener)
        if listener.rbac is not None:
            check_filters(listener.rbac.expose_functions)
    except BadConfig as error:
        for one in (error, *error.others):
            place = (*entry.place, "config", *one.place)
            findings.error(document.line(place), one.message, one.hint)
        return None
    listeners = cast(tuple[WorkerListener, ...], values.get("listeners", ()))
    if listeners and "port" not in config:
        findings.error(
            document.line(entry.place), "`port` is missing: every listener but the first needs one of its own"
        )
        return None
    findings.lines[f"worker-{len(listeners) + 1}"] = document.line((*entry.place, "config", "port"))
    _note_files(document, entry, f"worker-{len(listeners) + 1}", findings)
    if not listeners:
        values |= {name: config[key] for key, name in (("host", "host"), ("port", "worker_port")) if key in config}
        if listener.handshake_timeout_ms is not None:
            values["handshake_timeout"] = listener.handshake_timeout_ms / 1000
    return listener


def _read_port(document: Document, values: dict[str, object], findings: Findings) -> None:
    """The oldest generation's root `port`; there 0 means the default."""
    port = _typed(document, ("port",), document.root.get("port"), Port, findings)
    if port is None:
        return
    port = port or WORKER_PORT
    if values.setdefault("worker_port", port) != port:
        findings.error(document.line(("port",)), f"`port` contradicts the port of {WORKER_MANAGER}")


def _read_grace(document: Document, findings: Findings) -> None:
    key = "registration_namespace_grace_ms"
    grace = _typed(document, (key,), document.root.get(key), Limit, findings)
    if grace is not None:
        findings.notice(document.line((key,)), f"{key} is not supported yet; registrations are not held back")


def _typed(document: Document, place: Place, value: object, type_: Any, findings: Findings) -> Any:
    """The value as `type_`, None when absent or wrong (which is then among the findings)."""
    if value is None:
        return None
    try:
        return convert_plain(type_, value)
    except BadValue as error:
        findings.error(document.line(place), f"`{place[-1]}`: {error.message}", error.hint)
        return None
