"""The `cluster:` section of a configuration file: what only a cluster has, one key per setting."""

from .document import Document
from .errors import Findings, did_you_mean
from .fields import KEYS, BadValue, convert

SECTION = "cluster"


def read_cluster(document: Document, findings: Findings) -> dict[str, object]:
    """The section's values by field name; absent and null keys are left out."""
    section = document.root.get(SECTION)
    if section is None:
        return {}
    if not isinstance(section, dict):
        findings.error(document.line((SECTION,)), "`cluster` must be a mapping")
        return {}

    values: dict[str, object] = {}
    for key, value in section.items():
        line = document.line((SECTION, key))
        field = KEYS.get(key)
        if field is None:
            findings.error(line, f"unknown key `cluster.{key}`", did_you_mean(key, KEYS))
            continue
        if value is None:
            continue
        try:
            values[field.name] = convert(field, value)
            findings.lines[field.name] = line
        except BadValue as error:
            findings.error(line, f"`cluster.{key}`: {error.message}", error.hint)
    return values
