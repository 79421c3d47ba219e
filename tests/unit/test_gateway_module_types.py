"""Trigger types of modules, as a gateway registers triggers of them."""

from typing import Any

import pytest

from gateway.worker import Worker
from iii_cluster.bus.envelopes import BindTrigger, PutTrigger, RevokeTrigger, Trigger
from iii_cluster.modules.module import TriggerType
from iii_cluster.protocol.errors import EngineError
from tests.support.gateway import FakeGateway, FakeOutlet

SHARD = "shard-00000001"


class Lab(FakeGateway):
    """A gateway whose module offers `state`, with the old name `kv`, and refuses configs that say `false`."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, bytes]] = []
        offered = TriggerType(
            id="state",
            aliases=("kv",),
            check=self._check,
            registered=lambda trigger: self.noted.append(("registered", trigger.id, trigger.config)),
            unregistered=lambda trigger: self.noted.append(("unregistered", trigger.id, trigger.config)),
        )
        super().__init__(types=[offered])
        self.worker, self.out = self.connect()

    def _check(self, trigger: Trigger) -> None:
        if trigger.config == b"false":
            raise EngineError("BAD", "the trigger config could not be parsed")
        if trigger.config == b"0":
            raise ZeroDivisionError

    def register(self, id: str = "t", type: str = "state", config: Any = None, worker: Worker | None = None) -> None:
        self.say(
            worker or self.worker, type="registertrigger", id=id, trigger_type=type, function_id="f", config=config
        )

    def told(self) -> list[tuple[str, str, bytes]]:
        noted, self.noted = self.noted, []
        return noted


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_the_module_hears_of_triggers_as_they_come_and_go(lab: Lab) -> None:
    lab.register(config={"scope": "a"})
    assert lab.told() == [("registered", "t", b'{"scope": "a"}')]
    lab.say(lab.worker, type="unregistertrigger", id="t")
    assert lab.told() == [("unregistered", "t", b'{"scope": "a"}')]


@pytest.mark.parametrize("config", [False, 0], ids=["refused", "failed"])
def test_a_trigger_its_module_does_not_take_is_refused(lab: Lab, config: Any) -> None:
    lab.register(type="kv", config=config)
    (frame,) = lab.out.take()
    assert (frame["type"], frame["id"], frame["trigger_type"]) == ("triggerregistrationresult", "t", "kv")
    assert frame["error"]["code"] == "trigger_registration_failed"
    assert not lab.worker.registrations
    assert not lab.told()


@pytest.mark.parametrize("key", ["condition_function_id", "_condition_path"])
@pytest.mark.parametrize("condition", [5, ["x"], {}, True])
def test_a_condition_that_names_no_function_is_refused(lab: Lab, key: str, condition: Any) -> None:
    lab.register(config={key: condition, "scope": "s"})
    (frame,) = lab.out.take()
    assert (frame["type"], frame["error"]["code"]) == ("triggerregistrationresult", "trigger_registration_failed")
    assert key in frame["error"]["message"]
    assert not lab.told()


@pytest.mark.parametrize("key", ["condition_function_id", "_condition_path"])
@pytest.mark.parametrize("condition", [None, "", "f"])
def test_no_condition_may_be_said_in_any_way(lab: Lab, key: str, condition: str | None) -> None:
    lab.register(config={key: condition})
    assert not lab.out.take()
    assert len(lab.told()) == 1


def test_an_old_name_stands_for_the_type(lab: Lab) -> None:
    lab.effects.take()
    lab.register(type="kv")
    sent = [envelope for _, envelope in lab.effects.take() if isinstance(envelope, PutTrigger | BindTrigger)]
    assert [envelope.trigger.type for envelope in sent] == ["state", "state"]
    lab.register(type="state")
    assert len(lab.worker.registrations) == 2
    assert [what for what, *_ in lab.told()] == ["registered", "registered"]


@pytest.mark.parametrize("name", ["state", "kv", "engine::workers-available"])
def test_nobody_else_provides_the_type(lab: Lab, name: str) -> None:
    lab.say(lab.worker, type="registertriggertype", id=name, description="")
    assert not lab.worker.registrations


def test_a_trigger_that_becomes_one_of_another_type_is_unregistered(lab: Lab) -> None:
    lab.register(config=1)
    lab.told()
    lab.register(type="custom", config=2)
    assert lab.told() == [("unregistered", "t", b"1")]


def test_a_worker_that_leaves_unregisters_nothing(lab: Lab) -> None:
    lab.register()
    lab.told()
    lab.core.disconnect(lab.worker, back=False)
    assert not lab.told()


def test_a_worker_sent_elsewhere_unregisters_nothing(lab: Lab) -> None:
    lab.register()
    lab.told()
    lab.core.withdraw(lab.worker)
    assert not lab.told()


def test_a_trigger_removed_by_somebody_elsewhere_is_unregistered(lab: Lab) -> None:
    lab.register()
    lab.told()
    lab.core.on_revoke(SHARD, RevokeTrigger(lab.worker.number, "t", removed=True))
    assert [what for what, *_ in lab.told()] == ["unregistered"]


def test_a_trigger_that_somebody_elsewhere_registered_anew_is_not_unregistered(lab: Lab) -> None:
    lab.register()
    lab.told()
    lab.core.on_revoke(SHARD, RevokeTrigger(lab.worker.number, "t"))
    assert not lab.told()
    assert not lab.worker.registrations


def test_types_of_workers_are_nobodys_business(lab: Lab) -> None:
    lab.register(type="custom")
    lab.say(lab.worker, type="unregistertrigger", id="t")
    assert not lab.told()


def _answers(out: FakeOutlet) -> list[str]:
    return [frame["type"] for frame in out.take()]


def test_hooks_that_fail_do_no_harm(lab: Lab) -> None:
    def fail(_trigger: Trigger) -> None:
        raise ZeroDivisionError

    failing = FakeGateway(types=[TriggerType(id="state", registered=fail, unregistered=fail)])
    worker, out = failing.connect()
    failing.say(worker, type="registertrigger", id="t", trigger_type="state", function_id="f")
    assert len(worker.registrations) == 2
    failing.say(worker, type="unregistertrigger", id="t")
    assert not worker.registrations
    assert not _answers(out)
