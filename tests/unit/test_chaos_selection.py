import pytest

from iii_cluster.chaos.clusters import hosts
from iii_cluster.chaos.faults.kinds import KINDS
from iii_cluster.chaos.faults.selection import UnknownFault, chosen, possible


def test_faults_are_chosen_by_name_or_target() -> None:
    assert chosen("redis-kill, gateway") == [
        "gateway-kill",
        "gateway-pause",
        "gateway-freeze",
        "gateway-term",
        "redis-kill",
    ]


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(UnknownFault, match=r"no fault or target 'gateway-melt'; --list-faults"):
        chosen("gateway-kill,gateway-melt")


def test_faults_the_machine_does_not_allow_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "unavailable", lambda: "no root")
    kinds, left_out = possible(None, attach=False, redis_faults=False)
    assert left_out == {"network-blip": "no root", "network-cut": "no root"}
    assert {*kinds, *left_out} == set(KINDS)


def test_a_cluster_of_somebody_else_is_spared_what_it_would_not_survive() -> None:
    kinds, left_out = possible(None, attach=True, redis_faults=False)
    assert not {name for name in kinds if name.startswith(("redis", "network")) or name.endswith("-term")}
    assert left_out["redis-kill"] == "needs --redis-faults"
    kinds, left_out = possible(None, attach=True, redis_faults=True)
    assert "redis-kill" in kinds
    assert "redis-flush" in left_out
    assert possible("redis-flush", attach=True, redis_faults=True) == (("redis-flush",), {})
