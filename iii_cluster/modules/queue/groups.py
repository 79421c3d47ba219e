"""On gateways: topics learn of groups when triggers are registered, and lose them when workers ask for that."""

import asyncio
import logging
from collections.abc import Collection

from redis.exceptions import RedisError

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable

from . import subscribers
from .adapter import Adapter, Group
from .subscribers import DURABLE, SHARED, Subscription

RETRY = 1.0  # seconds between attempts to tell the broker
PATIENCE = 10.0  # seconds until the watch must have said that a trigger is gone; else it is back on another connection

logger = logging.getLogger(__name__)


class Groups:
    """A group ends with the last of its triggers that a worker takes back. Workers that are gone are waited for."""

    def __init__(self, engine: Engine, adapter: Adapter) -> None:
        self._engine = engine
        self._adapter = adapter
        self._watched = {type: engine.watch(type, self._changed) for type in (SHARED, DURABLE)}
        self._dropped: dict[str, tuple[Group, float]] = {}  # triggers taken back, by id, and until when they count
        self._tasks: dict[Group, asyncio.Task[None]] = {}
        self._seen: dict[str, tuple[Trigger, Subscription | None]] = {}  # by trigger id, of the last look
        self._live: dict[str, dict[Group, None]] | None = None  # by topic; None: look again

    def live(self, topic: str) -> Collection[Group]:
        """The groups of a topic that have triggers now."""
        if self._live is None:
            self._live = {}
            for subscription in self._subscriptions():
                self._live.setdefault(subscription.group.topic, {})[subscription.group] = None
        return self._live.get(topic, ())

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def counts(self) -> dict[str, int]:
        """Triggers by topic."""
        counts: dict[str, int] = {}
        for watched in self._watched.values():
            await watched.until_known()
        for subscription in self._subscriptions():
            topic = subscription.group.topic
            counts[topic] = counts.get(topic, 0) + 1
        return counts

    def registered(self, trigger: Trigger) -> None:
        subscription = self._read(trigger)
        self._dropped.pop(trigger.id, None)
        if subscription is not None:
            self._tell(subscription.group, subscribed=True)
        else:
            logger.warning("action=trigger_without_topic trigger=%s type=%s", trigger.id, trigger.type)

    def unregistered(self, trigger: Trigger) -> None:
        subscription = self._read(trigger)
        if subscription is not None:
            self._dropped[trigger.id] = subscription.group, asyncio.get_running_loop().time() + PATIENCE
            self._changed()

    def _changed(self) -> None:
        """Triggers came or went. Of several that are taken back at once, the last to go ends the group: all gateways
        see them go in the same order."""
        self._live = None
        if not self._dropped:
            return
        live = self._subscriptions()
        ids = {subscription.trigger.id for subscription in live}
        groups = {subscription.group for subscription in live}
        now = asyncio.get_running_loop().time()
        for id, (group, until) in list(self._dropped.items()):
            if id not in ids or now >= until:
                del self._dropped[id]
                if group not in groups and now < until:
                    self._tell(group, subscribed=False)

    def _tell(self, group: Group, *, subscribed: bool) -> None:
        """Until the broker knows, or something else is to be told."""
        before = self._tasks.pop(group, None)
        if before is not None:
            before.cancel()
        task = asyncio.get_running_loop().create_task(self._told(group, subscribed))
        self._tasks[group] = task
        task.add_done_callback(lambda done: self._forget(group, done))

    def _forget(self, group: Group, done: "asyncio.Task[None]") -> None:
        if self._tasks.get(group) is done:
            del self._tasks[group]

    async def _told(self, group: Group, subscribed: bool) -> None:
        while True:
            try:
                await (self._adapter.subscribe(group) if subscribed else self._adapter.unsubscribe(group))
            except (Unavailable, RedisError, EngineError) as error:
                logger.warning("action=group_untold topic=%r subscribed=%s error=%s", group.topic, subscribed, error)
                await asyncio.sleep(RETRY)
            except Exception:
                logger.exception("action=group_untold topic=%r subscribed=%s", group.topic, subscribed)
                await asyncio.sleep(RETRY)
            else:
                return

    def _subscriptions(self) -> list[Subscription]:
        before, self._seen = self._seen, {}
        for watched in self._watched.values():
            for trigger in watched.all():
                known = before.get(trigger.id)
                read = known[1] if known is not None and known[0] is trigger else self._read(trigger)
                self._seen[trigger.id] = trigger, read
        return [found for _trigger, found in self._seen.values() if found is not None]

    def _read(self, trigger: Trigger) -> Subscription | None:
        return subscribers.read(trigger, self._engine.settings.handler_timeout)
