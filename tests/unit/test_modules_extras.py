"""Adapters whose driver is not installed."""

import sys

import pytest

from iii_cluster.modules.adapters import AdapterChoice, load_adapter
from iii_cluster.modules.imports import BadConfig
from iii_cluster.modules.module import Module
from iii_cluster.modules.queue.module import QueueModule
from iii_cluster.modules.state.module import StateModule


@pytest.mark.parametrize(
    ("module", "adapter", "driver"), [(StateModule, "postgres", "asyncpg"), (QueueModule, "rabbitmq", "aio_pika")]
)
def test_an_adapter_without_its_driver_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: type[Module], adapter: str, driver: str
) -> None:
    for name in [name for name in sys.modules if f".{adapter}" in name]:
        monkeypatch.delitem(sys.modules, name)
    for name in [driver, *(name for name in sys.modules if name.startswith(f"{driver}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadConfig, match=rf"pip install 'iii-cluster\[{adapter}\]'"):
        load_adapter(module, AdapterChoice(name=adapter))
