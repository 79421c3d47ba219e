"""Telling who registered a trigger that it is refused."""

from iii_cluster.bus.envelopes import TriggerFailed

from .effects import Effects
from .trigger_types import Binding


def tell_owner(effects: Effects, binding: Binding) -> None:
    """Once per refusal. Nobody is told of durable triggers, nor of what was left behind."""
    if binding.told:
        return
    binding.told = True
    owner, trigger = binding.owner, binding.trigger
    if owner.node:
        effects.send(owner.node, TriggerFailed(owner.conn, trigger.id, trigger.type, trigger.function, binding.error))
