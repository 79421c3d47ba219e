from iii_cluster.chaos.faults.kinds import KINDS, Target
from iii_cluster.chaos.faults.schedule import FIRST_AT, MOST_RESETS, Planned, draw

SIZES = {
    Target.GATEWAY: 2,
    Target.SHARD: 3,
    Target.COORDINATOR: 2,
    Target.LEADER: 2,
    Target.REDIS: 1,
    Target.WORKERS: 16,
    Target.NETWORK: 3,
}


def plan(seed: int, **changed: object) -> list[Planned]:
    options: dict[str, object] = {
        "duration": 60.0,
        "every": 4.0,
        "kinds": list(KINDS),
        "sizes": SIZES,
        "lease_ttl": 2.0,
        **changed,
    }
    return draw(seed, **options)  # type: ignore[arg-type]


def test_the_same_seed_draws_the_same_faults() -> None:
    assert [plan(seed) for seed in range(20)] == [plan(seed) for seed in range(20)]


def test_another_seed_draws_other_faults() -> None:
    assert len({repr(plan(seed)) for seed in range(20)}) == 20


def test_faults_leave_time_to_begin_and_to_recover() -> None:
    for seed in range(50):
        faults = plan(seed)
        assert faults
        assert faults[0].at == FIRST_AT
        assert all(fault.at + fault.duration < 60 - 8 for fault in faults)


def test_faults_are_numbered_in_the_order_of_their_times() -> None:
    for seed in range(50):
        faults = plan(seed)
        assert [fault.index for fault in faults] == list(range(len(faults)))
        assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)


def test_some_faults_overlap_and_most_do_not() -> None:
    pairs = [(a, b) for seed in range(100) for a, b in zip(plan(seed), plan(seed)[1:], strict=False)]
    overlapping = sum(b.at < a.at + a.duration for a, b in pairs)
    assert 0 < overlapping < len(pairs) / 2


def test_a_long_run_has_every_kind_about_equally_often() -> None:
    faults = plan(1, duration=3600.0)
    counts = [sum(fault.kind == name for fault in faults) for name in KINDS]
    assert max(counts) - min(counts) <= max(counts) / 3
    assert min(counts) > 10


def test_pauses_are_clearly_shorter_or_longer_than_a_lease() -> None:
    for seed in range(50):
        for fault in plan(seed, lease_ttl=3.0):
            kind = KINDS[fault.kind]
            if kind.in_leases:
                assert fault.duration < 1.5 or fault.duration > 4.4
                assert kind.outlives_lease == (fault.duration > 3.0)


def test_victims_are_among_the_candidates() -> None:
    for seed in range(50):
        for fault in plan(seed):
            target = KINDS[fault.kind].target
            assert 0 <= fault.victim < SIZES[target]
            assert 1 <= fault.count <= (MOST_RESETS if target is Target.WORKERS else 1)


def test_kinds_without_candidates_are_left_out() -> None:
    assert {fault.kind for fault in plan(1, sizes={Target.REDIS: 1}, duration=600.0)} == {
        name for name, kind in KINDS.items() if kind.target is Target.REDIS
    }
    assert plan(1, sizes={}) == []


def test_a_shorter_time_between_faults_draws_more_of_them() -> None:
    assert sum(len(plan(seed, every=2.0)) for seed in range(20)) > sum(len(plan(seed, every=8.0)) for seed in range(20))
