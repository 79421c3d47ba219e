import json

from coordinator.events import cluster_digest, functions_changed, worker_event


def test_a_worker_event_names_the_worker() -> None:
    assert json.loads(worker_event("worker_connected", "w")) == {"event": "worker_connected", "worker_id": "w"}


def test_the_digest_does_not_depend_on_which_shard_holds_what() -> None:
    one = {"s1": {"count": 3, "digest": 0b111, "filling": False}}
    two = {"s1": {"count": 1, "digest": 0b100, "filling": False}, "s2": {"count": 2, "digest": 0b011, "filling": False}}
    assert cluster_digest(one, set()) == cluster_digest(two, set()) == "3:7"


def test_there_is_no_digest_of_a_part_of_the_registry() -> None:
    answer = {"count": 1, "digest": 1, "filling": False}
    assert cluster_digest({"s1": answer}, {"s2"}) is None
    assert cluster_digest({"s1": answer, "s2": {**answer, "filling": True}}, set()) is None
    assert cluster_digest({}, set()) is None


def test_functions_changed_carries_every_function_without_formats_that_upset_the_oldest_clients() -> None:
    definition = b'{"description":"adds","request_format":{"name":"in","type":"object"},'
    definition += b'"response_format":{"type":"object"},"metadata":{"n":1.50}}'
    body = functions_changed(
        [
            {"id": "math::add", "namespace": "default", "owners": ["w"], "definition": definition},
            {"id": "echo", "namespace": "default", "owners": ["w"], "definition": b""},
        ]
    )
    assert b"1.50" in body
    nothing = {"description": None, "request_format": None, "response_format": None, "metadata": None}
    assert json.loads(body) == {
        "event": "functions_changed",
        "functions": [
            {"function_id": "echo", "namespace": "default", "worker_name": "echo", "worker_ids": ["w"], **nothing},
            {
                "function_id": "math::add",
                "namespace": "default",
                "worker_name": "math",
                "description": "adds",
                "request_format": {"name": "in", "type": "object"},
                "response_format": None,
                "metadata": {"n": 1.5},
                "worker_ids": ["w"],
            },
        ],
    }
