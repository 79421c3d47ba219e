"""The page on observability tells of every key of the configuration, with its default."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from iii_cluster.config.document import parse_document
from iii_cluster.config.errors import Findings
from iii_cluster.config.reference import read_reference
from iii_cluster.telemetry.config import AlertRule, Observability, TraceStorage

PAGE = (Path(__file__).parents[2] / "docs/modules/observability.md").read_text()


def rows(heading: str) -> dict[str, str]:
    """Of the table under it: defaults as written, by key."""
    table = PAGE.partition(heading)[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (?:`?([^|`]*)`? )?\|", table, re.MULTILINE))


def keys(kind: Any) -> dict[str, Any]:
    return {field.encode_name: field.default for field in msgspec.structs.fields(kind)}


@pytest.mark.parametrize(
    ("heading", "kind"),
    [("\n| key | default | |\n", Observability), ("\n| key of `trace_storage` | default | |\n", TraceStorage)],
)
def test_every_key_is_told_with_its_default(heading: str, kind: Any) -> None:
    told = {key: msgspec.json.decode(default) for key, default in rows(heading).items()}
    assert told == msgspec.json.decode(msgspec.json.encode(keys(kind)))


def test_every_key_of_a_rule_is_told() -> None:
    table = PAGE.partition("## Alerts")[2]
    assert set(re.findall(r"^\| `(\w+)`", table.partition("Rules are looked at")[0], re.MULTILINE)) == set(
        keys(AlertRule)
    )


def test_the_examples_of_the_page_are_accepted() -> None:
    examples = re.findall(r"```yaml\n(workers:.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        findings = Findings("c.yaml")
        read_reference(parse_document(example, {}, "c.yaml"), findings)
        assert findings.errors == []
