"""What is wrong with rules of alerts that their types do not tell. Pure."""

from collections.abc import Iterator, Sequence

from iii_cluster.config.errors import did_you_mean
from iii_cluster.modules.imports import BadConfig
from iii_cluster.telemetry.config import AlertRule, WebhookAction

from .alerts import ACTIVE, refused
from .counting import COUNTERS

OWN = "iii."  # how names of the engine's metrics begin
OF_WORKERS = "iii.worker."  # and those of what SDKs measure of their processes


def check(rules: Sequence[AlertRule]) -> list[BadConfig]:
    return [error for index, rule in enumerate(rules) for error in _of_rule(index, rule, rules)]


def _of_rule(index: int, rule: AlertRule, rules: Sequence[AlertRule]) -> Iterator[BadConfig]:
    place = "alerts", index
    first = next(at for at, other in enumerate(rules) if other.name == rule.name)
    if first != index:
        yield BadConfig(f"`alerts[{index}].name`: alerts[{first}] has the name `{rule.name}` already", *place, "name")
    known = (*COUNTERS, ACTIVE)
    if rule.metric.startswith(OWN) and not rule.metric.startswith(OF_WORKERS) and rule.metric not in known:
        problem = f"`alerts[{index}].metric`: the engine has no metric `{rule.metric}`"
        yield BadConfig(problem, *place, "metric", hint=did_you_mean(rule.metric, known))
    if refused(rule):
        problem = f"`alerts[{index}].action.path`: the alert `{rule.name}` would call a function of the engine"
        yield BadConfig(problem, *place, "action", "path")


def check_webhooks(rules: Sequence[AlertRule], http_functions: dict[str, object]) -> list[BadConfig]:
    """`http_functions`: config of the module that says which addresses may be reached."""
    if not any(isinstance(rule.action, WebhookAction) for rule in rules):
        return []
    # Only here: what reads URLs is large, and most have no use for it.
    from .webhooks import forbidden, security_of

    try:
        security = security_of(http_functions)
    except BadConfig:
        return []  # which is told of that module
    found = []
    for index, rule in enumerate(rules):
        if isinstance(rule.action, WebhookAction) and (problem := forbidden(rule.action.url, security)):
            message, hint = problem
            place = "alerts", index, "action", "url"
            found.append(BadConfig(f"`alerts[{index}].action.url`: {message}", *place, hint=hint))
    return found
