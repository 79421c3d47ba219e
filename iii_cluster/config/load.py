"""File < environment < flags, added up to what a process runs with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from .cluster import read_cluster
from .document import Document, read_document
from .errors import ConfigError, Findings, InvalidConfig, Notice
from .fields import DOCUMENTS, FIELDS, KEYS, SETTINGS, TOKEN_VARIABLE, BadValue, convert
from .ports import clash_text, clashes, ports_of_gateway
from .reference import read_reference
from .settings import Settings, Topology

ENVIRONMENT = "environment"
COMMAND_LINE = "command line"

_TYPES = {info.name: info.type for info in msgspec.structs.fields(Settings)}

Source = tuple[str, int]  # file and line a value came from


class Config(Struct, frozen=True, kw_only=True):
    settings: Settings
    topology: Topology
    notices: tuple[Notice, ...] = ()
    sources: Mapping[str, Source] = {}  # by setting; also parts of it that can be wrong by themselves


def load(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Config:
    """Everything a process runs with. `flags` are by field name; None means not given.

    Raises InvalidConfig with everything that is wrong in all three sources.
    """
    errors: list[ConfigError] = []
    notices: list[Notice] = []
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}

    for findings, layer in (_from_file(path, environ), _from_environment(environ), _from_flags(flags)):
        errors += findings.errors
        notices += findings.notices
        values |= layer
        sources |= {name: (findings.file, line) for name, line in findings.lines.items()}
        sources |= {name: (findings.file, findings.lines.get(name, 0)) for name in layer}
    if errors:
        raise InvalidConfig(errors)

    settings = Settings(**{name: values[name] for name in Settings.__struct_fields__ if name in values})
    topology = Topology(**{name: values[name] for name in Topology.__struct_fields__ if name in values})
    errors = _contradictions(settings, sources)
    if errors:
        raise InvalidConfig(errors)
    return Config(settings=settings, topology=topology, notices=tuple(notices), sources=sources)


def to_environment(settings: Settings) -> dict[str, str]:
    """Variables that make a child process load exactly these settings; URLs stay out of its argument list."""
    variables = {}
    for name in SETTINGS:
        value = getattr(settings, name)
        variables[FIELDS[name].variable] = ",".join(value) if isinstance(value, tuple) else str(value)
    for name, variable in DOCUMENTS.items():
        variables[variable] = msgspec.json.encode(getattr(settings, name)).decode()
    return variables


def _from_file(path: Path | None, environ: Mapping[str, str]) -> tuple[Findings, dict[str, object]]:
    findings = Findings(str(path))
    if path is None:
        return findings, {}
    try:
        document = read_document(path, environ)
    except InvalidConfig as invalid:
        findings.errors += invalid.errors
        return findings, {}
    reference = read_reference(document, findings)
    cluster = read_cluster(document, findings)
    for name in reference.keys() & cluster.keys():
        if reference[name] != cluster[name]:
            _contradicted(document, name, findings)
    return findings, reference | cluster


def _contradicted(document: Document, name: str, findings: Findings) -> None:
    key = FIELDS[name].key
    findings.error(
        document.line(("cluster", key)), f"`cluster.{key}` contradicts the worker manager's; keep one of the two"
    )


def _from_environment(environ: Mapping[str, str]) -> tuple[Findings, dict[str, object]]:
    findings = Findings(ENVIRONMENT)
    layer: dict[str, object] = {}
    for field in KEYS.values():
        text = environ.get(field.variable, "")
        if not text and field.name == "tokens":
            text = environ.get(TOKEN_VARIABLE, "")
        if not text:
            continue
        try:
            layer[field.name] = convert(field, text, text=field.is_number)
        except BadValue as error:
            findings.error(0, f"{field.variable}: {error.message}", error.hint)
    for name, variable in DOCUMENTS.items():
        if document := environ.get(variable):
            try:
                layer[name] = msgspec.json.decode(document, type=_TYPES[name])
            except msgspec.MsgspecError as error:
                findings.error(0, f"{variable}: {error}")
    return findings, layer


def _from_flags(flags: Mapping[str, object]) -> tuple[Findings, dict[str, object]]:
    findings = Findings(COMMAND_LINE)
    layer: dict[str, object] = {}
    for name, value in flags.items():
        if value is None or value == ():
            continue
        try:
            layer[name] = convert(FIELDS[name], value)
        except BadValue as error:
            findings.error(0, f"{FIELDS[name].flag}: {error.message}", error.hint)
    return findings, layer


def _contradictions(settings: Settings, sources: Mapping[str, Source]) -> list[ConfigError]:
    """What is wrong only in combination."""
    errors = []
    if settings.lease_interval * 2 > settings.lease_ttl:
        source = sources.get("lease_interval") or sources["lease_ttl"]
        errors.append(
            ConfigError(
                *source,
                f"`lease_interval` ({settings.lease_interval} s) must be at most half of `lease_ttl` "
                f"({settings.lease_ttl} s)",
                "one late renewal would expel a healthy node",
            )
        )
    if settings.max_frame_bytes > settings.max_message_bytes:
        source = sources.get("max_frame_bytes") or sources["max_message_bytes"]
        errors.append(ConfigError(*source, "`max_frame_bytes` must not exceed `max_message_bytes`"))
    return errors + _plain_text(settings, sources) + _shared_ports(settings, sources)


def _plain_text(settings: Settings, sources: Mapping[str, Source]) -> list[ConfigError]:
    """Half of what TLS takes would be none at all."""
    return [
        ConfigError(*sources[name], f"`{name}` without `{prefix}tls_cert_file`: nothing would be encrypted")
        for prefix in ("", "admin_")
        if not getattr(settings, f"{prefix}tls_cert_file")
        for name in (f"{prefix}tls_key_file", f"{prefix}tls_client_ca_file")
        if getattr(settings, name)
    ]


def _shared_ports(settings: Settings, sources: Mapping[str, Source]) -> list[ConfigError]:
    """Told where the one was said that counts more: in options, the environment, further down in the file."""
    later = (ENVIRONMENT, COMMAND_LINE)
    errors = []
    for one, other in clashes(ports_of_gateway(settings)):
        names = ("listeners", one.setting, one.name, other.setting, other.name)
        place = max(
            (sources[name] for name in names if name in sources),
            key=lambda source: (later.index(source[0]) + 1 if source[0] in later else 0, source[1]),
        )
        errors.append(ConfigError(*place, clash_text(one, other), "give each a port, or 0 for any free one"))
    return errors
