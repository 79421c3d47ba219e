"""Evaluating alerts and doing what they say."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import ResponseError

from iii_cluster.config.modules import HTTP_FUNCTIONS
from iii_cluster.modules import calling
from iii_cluster.modules.module import Function, Request
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable
from iii_cluster.telemetry.config import AlertRule, FunctionAction, WebhookAction

from . import alerts
from .alert_store import AlertStore
from .inputs import Nothing
from .sources import Sources, told
from .times import now_ms

if TYPE_CHECKING:
    from .webhooks import Webhooks

NO_RULES = "no alerts are configured"

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class Alerting:
    """In shards and gateways alike; Redis decides who tells."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._rules: list[AlertRule] = []
        self._webhooks: Webhooks | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """The sources have begun."""
        self._rules = alerts.enabled(self._sources.config)
        if any(isinstance(rule.action, WebhookAction) for rule in self._rules):
            # Only here: what reads URLs is large, and most have no use for it.
            from .webhooks import Webhooks, security_of

            entries = self._sources.engine.settings.modules
            entry = next((entry.config for entry in entries if entry.name == HTTP_FUNCTIONS), {})
            self._webhooks = Webhooks(security_of(entry))

    @property
    def _store(self) -> AlertStore:
        engine = self._sources.engine
        return AlertStore(engine.commands, engine.prefix)

    async def evaluate(self) -> list[AlertRule]:
        """All rules; returns those whose actions were begun. Raises what `Commands.execute` does."""
        if not self._rules:
            return []
        snapshots = await self._sources.snapshots()
        longest = alerts.counts(self._rules)
        counted = await self._store.counted(snapshots, longest) if longest else None
        active = sum(snapshot.workers for snapshot in snapshots)
        store = self._sources.metrics
        others = any(not alerts.of_engine(rule) for rule in self._rules)
        kept = await store.metrics() if store is not None and others else []
        names = {metric.name for metric in kept}
        now = time.time_ns()
        due = []
        for rule in self._rules:
            own = alerts.of_engine(rule)
            value = alerts.engine_value(rule, active, counted) if own else alerts.measured(rule, kept, now)
            firing = alerts.holds(rule, value)
            when = await self._store.evaluated(rule, firing, value, seen=own or rule.metric in names)
            if when and value is not None:
                self._begin(rule, value, when)
                due.append(rule)
        return due

    def _begin(self, rule: AlertRule, value: float, now: int) -> None:
        task = asyncio.get_running_loop().create_task(self._tell(rule, alerts.message(rule, value, now)))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, rule: AlertRule, message: dict[str, Any]) -> None:
        action, error = rule.action, ""
        if isinstance(action, WebhookAction):
            assert self._webhooks is not None
            error = await self._webhooks.tell(rule.name, action.url, _encode(message))
        elif isinstance(action, FunctionAction):
            error = await self._call(rule, action.path, message)
        else:
            log.warning(
                "action=alert name=%s metric=%s value=%g operator=%s threshold=%g",
                *(rule.name, rule.metric, message["value"], message["operator"], rule.threshold),
            )
        try:
            await self._store.failed(rule, error)
        except (Unavailable, ResponseError):
            return  # the log has it

    async def _call(self, rule: AlertRule, path: str, message: dict[str, Any]) -> str:
        """What went wrong, without the function's own words: they are for its callers."""
        if alerts.refused(rule):
            log.error("action=alert_refused name=%s function=%s error=internal_function", rule.name, path)
            return "the function is one of the engine"
        try:
            await calling.call(self._sources.engine, path, _encode({**message, "firing": True}))
        except EngineError as error:
            log.warning("action=alert_failed name=%s function=%s code=%s", rule.name, path, error.code[:128])
            return f"{path}: {error.code}"
        return ""

    async def stop(self) -> None:
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
        if self._webhooks is not None:
            await self._webhooks.close()

    # -- functions

    async def list(self, _: Nothing, __: Request) -> object:
        if not self._rules:
            return {"alerts": [], "rules": [], "firing_count": 0, "message": NO_RULES, "timestamp": now_ms()}
        with told():
            states = await self._store.states(self._rules)
        rows = [alerts.shown(rule, state) for rule, state in zip(self._rules, states, strict=True)]
        return {
            "alerts": rows,
            "rules": [_rule(rule) for rule in self._rules],
            "firing_count": sum(row.firing for row in rows),
            "timestamp": now_ms(),
        }

    async def evaluated(self, _: Nothing, __: Request) -> object:
        if not self._rules:
            return {"evaluated": False, "message": NO_RULES, "timestamp": now_ms()}
        try:
            due = await self.evaluate()
        except (Unavailable, ResponseError) as error:
            return {"evaluated": False, "message": str(error), "timestamp": now_ms()}
        names = [{"name": rule.name, "metric": rule.metric, "threshold": rule.threshold} for rule in due]
        return {"evaluated": True, "triggered_alerts": names, "timestamp": now_ms()}

    def offered(self) -> "dict[str, Function[Any]]":
        return {
            "engine::alerts::list": Function(self.list, Nothing, "Alerts, and which of them fire"),
            "engine::alerts::evaluate": Function(self.evaluated, Nothing, "Look at all alerts now"),
        }


def _rule(rule: AlertRule) -> dict[str, Any]:
    """As configured, without where a webhook goes: such addresses often hold a secret."""
    shown: dict[str, Any] = msgspec.to_builtins(rule)
    shown["operator"] = alerts.operator_name(rule)
    shown["action"].pop("url", None)
    return shown
