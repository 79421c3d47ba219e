"""Superseded claims to the ids of triggers: they do not count, but one may be the right one that is left."""

from collections.abc import Collection

from iii_cluster.bus.envelopes import Owner

from .trigger_types import Binding, State


class Claims:
    """At most one for each id and owner."""

    def __init__(self) -> None:
        self._claims: dict[str, dict[Owner, Binding]] = {}  # by trigger id, the newest last

    def add(self, binding: Binding) -> None:
        self._claims.setdefault(binding.trigger.id, {})[binding.owner] = binding

    def drop(self, binding: Binding) -> None:
        claims = self._claims[binding.trigger.id]
        del claims[binding.owner]
        if not claims:
            del self._claims[binding.trigger.id]

    def find(self, id: str, owner: Owner) -> Binding | None:
        return self._claims.get(id, {}).get(owner)

    def heir(self, id: str, leaving: Collection[Owner]) -> Binding | None:
        """The newest of those whose owners stay."""
        claims = reversed(self._claims.get(id, {}).values())
        return next((claim for claim in claims if claim.owner not in leaving), None)

    def all(self) -> list[Binding]:
        return [claim for claims in self._claims.values() for claim in claims.values()]

    def invariants(self) -> None:
        assert all(self._claims.values())
        assert all(claim.state is State.PARKED and claim.due and claim.rival is None for claim in self.all())
        assert all(c.owner == owner for claims in self._claims.values() for owner, c in claims.items())
        assert all(c.trigger.id == id for id, claims in self._claims.items() for c in claims.values())
