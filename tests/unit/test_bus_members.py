import pytest

from iii_cluster.bus import members
from iii_cluster.bus.members import INBOX_BYTES, Members
from iii_cluster.bus.sender import MAX_WINDOW, MIN_WINDOW


def test_who_leaves_the_map_is_expelled_until_a_map_names_it_again() -> None:
    known = Members()
    assert known.replace(["a", "b"]) == set()
    assert known.replace(["b", "c"]) == {"a"}
    assert [known.expelled(node) for node in ("a", "b", "c", "new")] == [True, False, False, False]
    assert known.replace(["a", "b"]) == {"c"}
    assert [known.expelled(node) for node in ("a", "b", "c")] == [False, False, True]


def test_only_so_many_expelled_nodes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "EXPELLED_KEPT", 10)
    known = Members()
    for number in range(100):
        known.replace([str(number)])
    assert [number for number in range(100) if known.expelled(str(number))] == list(range(89, 99))


def test_nobody_is_a_stranger_before_there_is_a_map() -> None:
    known = Members()
    assert not known.stranger("a")
    known.replace(["b"])
    assert known.stranger("a")
    assert not known.stranger("b")


def test_what_may_wait_in_an_inbox_is_shared_among_the_members() -> None:
    known = Members()
    assert known.window == MAX_WINDOW
    for count in (1, 10, 1000):
        known.replace([str(n) for n in range(count)])
        assert known.window == min(max(INBOX_BYTES // count, MIN_WINDOW), MAX_WINDOW)
