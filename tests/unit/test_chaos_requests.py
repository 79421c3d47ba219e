import pytest

from iii_cluster.chaos.checks import check, requests
from iii_cluster.chaos.history import OPEN
from tests.support.chaos_effects import Effects


@pytest.fixture
def story() -> Effects:
    return Effects()


def broken(story: Effects) -> list[str]:
    return sorted({violation.check for violation in check(story.history)})


def test_requests_that_are_answered_are_right(story: Effects) -> None:
    for at in (5, 6):
        story.handle(story.ask(at))
    story.route(200)
    assert broken(story) == []


def test_an_answer_to_another_request_is_found(story: Effects) -> None:
    story.ask(5, answer=7)
    assert broken(story) == [requests.OWN_ANSWER]


def test_a_request_that_is_carried_out_twice_is_found(story: Effects) -> None:
    request = story.ask(5)
    story.handle(request)
    story.handle(request, story.second)
    assert broken(story) == [requests.ONCE]


@pytest.mark.parametrize("ended", [31.0, OPEN])
def test_a_request_that_takes_too_long_is_found(story: Effects, ended: float) -> None:
    story.ask(5).ended = ended
    assert broken(story) == [requests.ENDS]


def test_a_request_that_still_waits_is_none_yet(story: Effects) -> None:
    story.ask(59, status=0).ended = OPEN
    story.history.ended = OPEN
    assert broken(story) == []


# Failures


@pytest.mark.parametrize("status", [0, 503])
def test_a_gateway_that_is_well_holds_its_connections(story: Effects, status: int) -> None:
    story.fault("gateway-kill", 4.5, 5.5, "gateway-2")
    story.ask(5, status)
    assert broken(story) == [requests.CONNECTED]


@pytest.mark.parametrize("kind", ["gateway-kill", "gateway-term", "gateway-freeze"])
@pytest.mark.parametrize("status", [0, 503])
def test_connections_end_with_their_gateway(story: Effects, kind: str, status: int) -> None:
    story.fault(kind, 4.5, 9.5, "gateway-1")
    story.map(6, 1, 1, nodes=["gateway-gateway2", "shard-a", "shard-b"])
    story.ask(5, status)
    assert broken(story) == []


def test_a_gateway_nobody_knows_may_be_the_one_that_was_hit(story: Effects) -> None:
    story.ask(3, 0, gateway="")
    assert broken(story) == [requests.CONNECTED]
    story.fault("gateway-kill", 2.5, 5.5, "gateway-2")
    assert broken(story) == []


def test_a_route_with_a_live_owner_is_not_missing_whatever_happens_to_another(story: Effects) -> None:
    story.fault("gateway-kill", 4.5, 5.5, "gateway-2")
    story.ask(5, 404, code="NOT_FOUND")
    assert broken(story) == [requests.FOUND]


def test_a_route_may_be_missing_while_its_only_owner_is_away(story: Effects) -> None:
    story.register(story.connect("lonely", "gateway-2", closed=4.6), "h")
    story.ask(5, 404, code="NOT_FOUND", kind="single", function="h")
    assert broken(story) == [requests.EXPLAINED]
    story.fault("gateway-kill", 4.5, 5.5, "gateway-2")
    assert broken(story) == []


def test_a_request_fails_with_the_gateway_of_its_handler(story: Effects) -> None:
    story.register(story.connect("lonely", "gateway-2", closed=5.1), "h")
    story.ask(5, 500, code="invocation_stopped", kind="single", function="h")
    assert broken(story) == [requests.EXPLAINED]
    story.fault("gateway-kill", 5.05, 6, "gateway-2")
    assert broken(story) == []


@pytest.mark.parametrize("status", [400, 405, 422])
def test_what_no_fault_explains_is_found(story: Effects, status: int) -> None:
    story.fault("gateway-kill", 4.5, 5.5, "gateway-1")
    story.ask(5, status)
    assert broken(story) == [requests.EXPLAINED]


@pytest.mark.parametrize("status", [0, 404, 503])
def test_at_rest_every_gateway_answers_every_route(story: Effects, status: int) -> None:
    story.route(status, "gateway-2")
    assert broken(story) == [requests.ROUTED]
