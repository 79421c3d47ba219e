"""Rules of alerts: what they look at, and whether it is so. Pure."""

import operator
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any

from msgspec import Struct

from iii_cluster.telemetry.config import AlertRule, FunctionAction, Observability
from iii_cluster.telemetry.kinds import is_internal
from iii_cluster.telemetry.records import HistogramPoint, Metric

from .counting import COUNTERS, Counted, within
from .times import SECOND

ACTIVE = "iii.workers.active"

# As listed -> what it means; and what else it may be called in the file.
_OPERATORS: Mapping[str, tuple[Callable[[float, float], bool], str, str]] = {
    "GreaterThan": (operator.gt, "greaterthan", ">"),
    "GreaterThanOrEqual": (operator.ge, "greaterthanorequal", ">="),
    "LessThan": (operator.lt, "lessthan", "<"),
    "LessThanOrEqual": (operator.le, "lessthanorequal", "<="),
    "Equal": (operator.eq, "equal", "=="),
    "NotEqual": (operator.ne, "notequal", "!="),
}
_NAMES = {name: listed for listed, (_, *names) in _OPERATORS.items() for name in names}

_FRAMEWORKS = ("motia::", "steps::")  # functions of users, though the engine does not trace them as such


class State(Struct):
    """Times are milliseconds; None: never, or not known."""

    firing: bool = False
    last_evaluated: int | None = None
    last_triggered: int | None = None
    current_value: float | None = None
    metric_seen: bool | None = None  # whether there has been such a metric
    last_error: str | None = None  # why the action came to nothing the last time


class Shown(Struct):
    """An alert as it is listed."""

    name: str
    firing: bool
    last_evaluated: int | None
    last_triggered: int | None
    current_value: float | None
    threshold: float
    operator: str
    metric_seen: bool | None
    last_error: str | None


def operator_name(rule: AlertRule) -> str:
    return _NAMES[rule.operator]


def shown(rule: AlertRule, state: State) -> Shown:
    return Shown(
        rule.name,
        state.firing,
        state.last_evaluated,
        state.last_triggered,
        state.current_value,
        rule.threshold,
        operator_name(rule),
        state.metric_seen,
        state.last_error,
    )


def holds(rule: AlertRule, value: float | None) -> bool:
    """Of no value nothing holds."""
    if value is None or not isfinite(value):
        return False
    return _OPERATORS[operator_name(rule)][0](value, rule.threshold)


def of_engine(rule: AlertRule) -> bool:
    return rule.metric == ACTIVE or rule.metric in COUNTERS


def counts(rules: Iterable[AlertRule]) -> int:
    """The longest window (ms) of rules on counters of the engine; 0: there are none."""
    return max((rule.window_seconds * 1000 for rule in rules if rule.metric in COUNTERS), default=0)


def engine_value(rule: AlertRule, active: int, counted: Counted | None) -> float | None:
    """What the rule looks at if that is a number of the engine: workers now, or what happened in its window."""
    if rule.metric == ACTIVE:
        return float(active)
    if rule.metric in COUNTERS and counted is not None:
        return float(within(counted, rule.window_seconds * 1000)[rule.metric])
    return None


def measured(rule: AlertRule, metrics: Iterable[Metric], now: int) -> float | None:
    """What workers measured in its window: the sum of counters, the average of everything else. `now`: ns."""
    since = now - rule.window_seconds * SECOND
    seen = [metric for metric in metrics if metric.name == rule.metric and metric.timestamp_unix_nano >= since]
    count, total = 0, 0.0
    for metric in seen:
        for point in metric.data_points:
            weight, amount = (point.count, point.sum) if isinstance(point, HistogramPoint) else (1, point.value)
            count += weight
            total += amount
    if not count:
        return None
    return total if seen[0].metric_type == "counter" else total / count


def message(rule: AlertRule, value: float, now: int) -> dict[str, Any]:
    """What an action tells. `now`: ms."""
    return {
        "alert": rule.name,
        "metric": rule.metric,
        "value": value,
        "threshold": rule.threshold,
        "operator": operator_name(rule),
        "timestamp": now,
    }


def refused(rule: AlertRule) -> bool:
    """It would call a function of the engine, which is no alert's business."""
    if not isinstance(rule.action, FunctionAction):
        return False
    path = rule.action.path
    return is_internal(path) and not path.startswith(_FRAMEWORKS)


def enabled(config: Observability) -> list[AlertRule]:
    return [rule for rule in config.alerts if rule.enabled]
