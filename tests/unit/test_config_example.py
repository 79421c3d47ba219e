from pathlib import Path

import yaml

from iii_cluster.config.fields import KEYS
from iii_cluster.config.load import load
from iii_cluster.config.settings import Settings, Topology

EXAMPLE = Path(__file__).parents[2] / "deploy" / "config.example.yaml"


def test_the_example_is_valid_and_says_the_defaults() -> None:
    config = load(EXAMPLE, {}, {})
    assert (config.settings, config.topology, config.notices) == (Settings(), Topology(), ())


def test_the_example_has_every_setting() -> None:
    assert set(yaml.safe_load(EXAMPLE.read_text())["cluster"]) == set(KEYS)
