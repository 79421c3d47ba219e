"""Routes of workers under rules."""

import json

from gateway.http.routes import Routes
from iii_cluster.access.triggers import scoped
from iii_cluster.bus.envelopes import Trigger


def trigger(id: str) -> Trigger:
    return Trigger(id, "http", "f", json.dumps({"api_path": "/login", "http_method": "POST"}).encode())


def test_a_worker_under_rules_takes_no_requests_from_others() -> None:
    free, replica, guest = trigger("free"), trigger("replica"), trigger(scoped("worker-2", "guest"))
    newer = trigger(scoped("worker-2", "newer"))
    routes = Routes()

    def serving(*triggers: Trigger) -> str:
        routes.update(triggers)
        match = routes.match("POST", "login")
        assert match is not None
        return match.bound.trigger.id

    assert serving(free, guest) == "free"
    assert serving(guest, free) == "free"
    assert serving(free, guest, replica, newer) == "replica"
    assert serving(guest, newer) == newer.id
    assert serving(newer, guest) == guest.id
