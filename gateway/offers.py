"""Triggers that shards offer to the providers of their types among this gateway's workers. Pure."""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from iii_cluster.bus.envelopes import OfferTrigger, Owner, ProviderAnswer, WithdrawTrigger
from iii_cluster.bus.outbox import Outbox
from iii_cluster.cluster.map import ClusterMap
from iii_cluster.protocol import errors, frames, messages

from .worker import Worker

# (provider, namespace, function, told): `told` hears whether the provider may know of triggers of the function.
MayKnow = Callable[[Worker, str, str, Callable[[bool], None]], None]


class Offers:
    """What each provider was told of is in its `offers`. Providers under rules hear of what they may call."""

    def __init__(self, workers: Mapping[int, Worker], current: Callable[[], ClusterMap], outbox: Outbox) -> None:
        """`workers` by connection; `current` is the cluster map of now."""
        self._workers = workers
        self._current = current
        self._outbox = outbox
        self.may_know: MayKnow = lambda _worker, _namespace, _function, told: told(False)

    def of(self, provider: Owner, trigger_type: str) -> list[str]:
        """Ids of the triggers that a provider was told of."""
        worker = self._workers.get(provider.conn)
        return [t.id for t in worker.offers.values() if t.type == trigger_type] if worker is not None else []

    def on_offer(self, node: str, offer: OfferTrigger) -> None:
        worker = self._workers.get(offer.conn)
        trigger = offer.trigger
        if worker is None or self._outdated(trigger.type, offer.epoch):
            return
        if offer.again and worker.offers.get(trigger.id) == trigger:
            return  # the type's slot changed hands, the provider has it
        if worker.realm:
            self._ask_first(node, worker, offer)
        else:
            self._tell(node, worker, offer)

    def _ask_first(self, node: str, worker: Worker, offer: OfferTrigger) -> None:
        guarded, trigger = worker.guarded, offer.trigger
        if guarded is None:
            return
        guarded.offered.add(trigger.id)

        def told(may: bool) -> None:
            if worker.gone or trigger.id not in guarded.offered:
                return  # taken back meanwhile
            guarded.offered.discard(trigger.id)
            if may:
                self._tell(node, worker, offer)
            else:
                self._refuse(node, worker, offer, errors.FORBIDDEN, f"the provider may not call '{trigger.function}'")

        self.may_know(worker, trigger.namespace, trigger.function, told)

    def _tell(self, node: str, worker: Worker, offer: OfferTrigger) -> None:
        trigger = offer.trigger
        own = trigger if worker.guarded is None else replace(trigger, type=worker.guarded.own_type(trigger.type))
        frame = frames.register_trigger(own, offer.provider_namespace)
        if worker.max_frame and len(frame) > worker.max_frame:
            reason = f"the trigger has {len(frame)} bytes, its provider accepts {worker.max_frame}"
            self._refuse(node, worker, offer, errors.PAYLOAD_TOO_LARGE, reason)
            return
        worker.offers[trigger.id] = trigger
        worker.outlet.send(frame)

    def _refuse(self, node: str, worker: Worker, offer: OfferTrigger, code: str, reason: str) -> None:
        trigger = offer.trigger
        self._outbox.send(node, ProviderAnswer(worker.owner, trigger.type, trigger.id, errors.error_body(code, reason)))

    def _outdated(self, trigger_type: str, epoch: int) -> bool:
        """Sent by a former owner of the type's slot; the present one was told what the provider has."""
        return 0 < epoch < self._current().slot(trigger_type).since

    def on_withdraw(self, _node: str, said: WithdrawTrigger) -> None:
        worker = self._workers.get(said.conn)
        if worker is None or self._outdated(said.type, said.epoch):
            return
        type = said.type
        if worker.guarded is not None:
            type = worker.guarded.own_type(type)
            worker.guarded.offered.discard(said.id)
        if worker.offers.pop(said.id, None) is not None:
            worker.outlet.send(frames.unregister_trigger(said.id, type))

    def answered(self, worker: Worker, message: messages.TriggerRegistrationResult) -> None:
        """What a provider says of a trigger."""
        if worker.guarded is not None and message.id not in worker.offers:
            worker.drop("triggerregistrationresult", "it was not told of this trigger")
            return
        error = errors.regular(bytes(message.error))
        if error:
            worker.offers.pop(message.id, None)
        type = message.trigger_type if worker.guarded is None else worker.guarded.type(message.trigger_type)
        shard = self._current().owner(type)
        if shard:
            self._outbox.send(shard, ProviderAnswer(worker.owner, type, message.id, error))
