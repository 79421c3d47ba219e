"""The dashboard and the alerts that come along ask for what is told."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from iii_cluster.config.settings import Topology
from iii_cluster.telemetry.metrics.families import FAMILIES, Family, Kind

DEPLOY = Path(__file__).parents[2] / "deploy"
TARGET = {"job", "instance"}  # labels that Prometheus adds
EXPOSED = {family.exposed: family for family in FAMILIES}
JOB = re.compile(r'job="iii-cluster"')


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DEPLOY / "grafana/iii-cluster.json").read_text())
    return read


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "5m")
            yield f"{panel['title']} {target['refId']}", re.sub(r"\$\w+", "x", text)


def family_of(name: str) -> tuple[Family, set[str]]:
    """Of a series, with the labels that it has. Raises KeyError for what nobody tells."""
    for suffix in ("_bucket", "_count", "_sum"):
        family = EXPOSED.get(name.removesuffix(suffix))
        if name.endswith(suffix) and family is not None and family.kind is Kind.HISTOGRAM:
            return family, {*family.labels, *TARGET, *(["le"] if suffix == "_bucket" else [])}
    family = EXPOSED[name]
    assert family.kind is not Kind.HISTOGRAM, f"{name} has no series of this name"
    return family, {*family.labels, *TARGET}


def check(node: Any) -> set[str]:
    """Labels that may be grouped by; fails for names and labels that nobody tells."""
    if isinstance(node, promql_parser.VectorSelector):
        labels = TARGET if node.name == "up" else family_of(node.name or "")[1]
        assert {matcher.name for matcher in node.matchers.matchers} <= labels, node.name
        return set(labels)
    if isinstance(node, promql_parser.MatrixSelector):
        return check(node.vector_selector)
    if isinstance(node, promql_parser.AggregateExpr):
        below = check(node.expr)
        kept = set(node.modifier.labels) if node.modifier is not None else set()
        assert kept <= below, f"{node.prettify()}: {kept - below}"
        return below if str(node.op) in ("topk", "bottomk") else kept
    if isinstance(node, promql_parser.BinaryExpr):
        left, right = check(node.lhs), check(node.rhs)
        matching = node.modifier.matching if node.modifier is not None else None
        if matching is not None:
            assert set(matching.labels) <= left & right, node.prettify()
            return left
        scalar = isinstance(node.rhs, promql_parser.NumberLiteral)
        assert scalar or left == right, f"{node.prettify()}: {left} and {right} never match"
        return left
    if isinstance(node, promql_parser.Call):
        return set().union(*(check(argument) for argument in node.args))
    if isinstance(node, (promql_parser.ParenExpr, promql_parser.SubqueryExpr)):
        return check(node.expr)
    assert isinstance(node, promql_parser.NumberLiteral), type(node)
    return set()


@pytest.mark.parametrize(("of", "text"), [pytest.param(*found, id=found[0]) for found in expressions()])
def test_an_expression_asks_for_what_is_told(of: str, text: str) -> None:
    expression = promql_parser.parse(text)
    check(expression)
    for name in re.findall(r"\b((?:iii|process)_\w+)", text):
        family, _ = family_of(name)
        ranged = re.search(rf"(rate|increase)\({name}\b", text)
        counted = family.kind in (Kind.COUNTER, Kind.HISTOGRAM)
        assert (ranged is not None) is counted, f"{of}: {name} is a {family.kind}"


def test_a_function_takes_what_its_labels_promise() -> None:
    with pytest.raises(AssertionError):
        check(promql_parser.parse("sum by (function) (rate(iii_invocations_total[5m]))"))
    with pytest.raises(KeyError):
        check(promql_parser.parse("iii_invocations"))
    with pytest.raises(AssertionError):
        check(promql_parser.parse('iii_leader{role="x"}'))


def test_every_alert_says_what_is_wrong_and_how_bad_that_is() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        labels = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        assert labels <= check(promql_parser.parse(rule["expr"])), rule["alert"]


def test_what_every_process_tells_of_itself_is_only_asked_of_ours() -> None:
    for rule in rules():
        for name in re.findall(r"\b(?:up|process_\w+)\{?", rule["expr"]):
            assert name.endswith("{")
            assert JOB.search(rule["expr"])


def test_scraping_begins_at_the_ports_that_up_gives_its_processes() -> None:
    document = yaml.safe_load((DEPLOY / "prometheus/scrape.yaml").read_text())
    [scraping] = document["scrape_configs"]
    targets = scraping["static_configs"][0]["targets"]
    usual = Topology()
    assert len(targets) == usual.gateways + usual.shards + usual.coordinators + 1  # one that a restart may move to
    assert (scraping["job_name"], targets) == ("iii-cluster", [f"127.0.0.1:{9464 + at}" for at in range(len(targets))])
    assert document["rule_files"] == ["alerts.yaml"]


def test_the_dashboard_is_for_any_source_cluster_and_node() -> None:
    variables = [variable["name"] for variable in dashboard()["templating"]["list"]]
    assert variables == ["datasource", "job", "node"]
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert 'job="$job"' in target["expr"]
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            text = re.sub(r"\$\w+", "x", target["expr"].replace("$__rate_interval", "5m"))
            assert legend <= check(promql_parser.parse(text)), panel["title"]


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
