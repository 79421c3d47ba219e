"""What hooks are asked, and what their answers change."""

import json
from typing import Any

import pytest
from msgspec import Raw

from gateway.access import hooks
from gateway.access.handshake import auth_input, query_parameters
from gateway.access.hooks import Denied
from iii_cluster.access.grants import BadGrants, read_grants
from iii_cluster.access.rules import Access, ListenerRules
from iii_cluster.config.settings import Rbac, WorkerListener
from iii_cluster.protocol import messages

ACCESS = Access(ListenerRules(WorkerListener(rbac=Rbac()), "worker-2"), read_grants(b'{"context":{"user":7}}'))


def test_an_auth_function_hears_of_the_handshake_as_it_came() -> None:
    headers = [("Host", "h"), ("X-User", "a"), ("x-user", "b"), ("X-Odd", "\udcff")]
    told: dict[str, Any] = json.loads(auth_input(headers, "/?token=a%20b&token=+&flag&=x&&e=", "1.2.3.4"))
    assert told["headers"] == {"host": "h", "x-user": "b", "x-odd": "\ufffd"}
    assert told["query_params"] == {"token": ["a%20b", "+"], "flag": [""], "": ["x"], "e": [""]}
    assert told["ip_address"] == "1.2.3.4"


def test_an_address_without_a_query_has_no_parameters() -> None:
    assert query_parameters("/") == query_parameters("/?") == {}
    assert query_parameters("/?a=1#b=2") == {"a": ["1"]}


def test_hooks_are_told_what_is_to_be_registered_and_by_whom() -> None:
    function = messages.RegisterFunction("f", "d", metadata=Raw(b'{"a":1}'))
    assert json.loads(hooks.function_input(ACCESS, function, "shop")) == {
        "function_id": "f",
        "description": "d",
        "metadata": {"a": 1},
        "namespace": "shop",
        "context": {"user": 7},
    }
    trigger = messages.RegisterTrigger("t", "cron", "f")
    assert json.loads(hooks.trigger_input(ACCESS, trigger)) == {
        "trigger_id": "t",
        "trigger_type": "cron",
        "function_id": "f",
        "config": None,
        "metadata": None,
        "namespace": "default",
        "context": {"user": 7},
    }
    type = messages.RegisterTriggerType("webhook", "w")
    assert json.loads(hooks.type_input(ACCESS, type)) == {
        "trigger_type_id": "webhook",
        "description": "w",
        "context": {"user": 7},
    }


def test_a_middleware_sees_the_action() -> None:
    call = messages.InvokeFunction("f", data=Raw(b"[1]"), action=messages.Enqueue("mail"))
    assert json.loads(hooks.middleware_input(ACCESS, call, "shop")) == {
        "function_id": "f",
        "payload": [1],
        "action": {"type": "enqueue", "queue": "mail"},
        "context": {"user": 7},
        "namespace": "shop",
    }
    assert json.loads(hooks.middleware_input(ACCESS, messages.InvokeFunction("f"), "default"))["action"] is None


def test_what_a_hook_leaves_out_stays() -> None:
    function = messages.RegisterFunction("f", "d", metadata=Raw(b"1"), request_format=Raw(b"2"))
    assert hooks.function_as_answered(function, b'{"ok":true}') == function
    changed = hooks.function_as_answered(function, b'{"function_id":"g","metadata":{"x":1},"description":null}')
    assert (changed.id, changed.description, bytes(changed.metadata), bytes(changed.request_format)) == (
        "g",
        "d",
        b'{"x":1}',
        b"2",
    )
    trigger = messages.RegisterTrigger("t", "cron", "f", metadata=Raw(b"1"))
    answer = b'{"trigger_id":"u","trigger_type":"http","function_id":"g","config":[]}'
    changed_trigger = hooks.trigger_as_answered(trigger, answer)
    assert changed_trigger == messages.RegisterTrigger("u", "http", "g", Raw(b"[]"), Raw(b"1"))
    assert hooks.type_as_answered(messages.RegisterTriggerType("w"), b'{"trigger_type_id":"v"}').id == "v"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"true",
        b"false",
        b"[]",
        b'"f"',
        b"{",
        b'{"function_id":7}',
        b'{"function_id":""}',
        b'{"description":[]}',
    ],
)
def test_anything_but_an_object_that_fits_is_a_denial(answer: bytes) -> None:
    with pytest.raises(Denied):
        hooks.function_as_answered(messages.RegisterFunction("f"), answer)
    if b"description" not in answer:
        with pytest.raises(Denied):
            hooks.trigger_as_answered(messages.RegisterTrigger("t", "cron", "f"), answer)


def test_an_id_may_not_become_longer_than_ids_are() -> None:
    answer = json.dumps({"function_id": "x" * (messages.MAX_ID + 1)}).encode()
    with pytest.raises(Denied):
        hooks.function_as_answered(messages.RegisterFunction("f"), answer)


def test_a_hook_that_answers_nothing_is_said_to_have_done_so() -> None:
    with pytest.raises(Denied, match=r"^it answered nothing$"):
        hooks.function_as_answered(messages.RegisterFunction("f", ""), b"")
    with pytest.raises(BadGrants, match=r"^it answered nothing$"):
        read_grants(b"")
