from iii_cluster.config.ports import ports_of_gateway
from iii_cluster.config.settings import Settings, WorkerListener


def test_every_port_of_a_gateway_says_what_gives_it_another_number() -> None:
    settings = Settings(listeners=(WorkerListener(), WorkerListener(port=49135), WorkerListener(port=49136)))
    assert {own.name: own.option for own in ports_of_gateway(settings)} == {
        "worker": "--worker-port",
        "worker-2": "`port` of iii-worker-manager 2",
        "worker-3": "`port` of iii-worker-manager 3",
        "http": "--http-port",
        "stream": "--stream-port",
    }
