from pathlib import Path

import yaml

from iii_cluster.config.fields import KEYS
from iii_cluster.config.load import load
from iii_cluster.config.settings import Settings, Topology

EXAMPLE = Path(__file__).parents[2] / "deploy" / "config.example.yaml"


def test_the_example_is_valid_and_says_the_defaults() -> None:
    config = load(EXAMPLE, {}, {})
    assert (config.settings, config.topology, config.notices) == (Settings(), Topology(), ())


def test_what_the_example_shows_in_comments_is_valid(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    shown = text[text.index("# workers:") :].splitlines()
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(line.removeprefix("# ") for line in shown if "acme.modules" not in line))
    config = load(path, {}, {})
    assert config.notices == ()
    assert [entry.name for entry in config.settings.modules] == [
        "iii-state",
        "iii-stream",
        "iii-queue",
        "iii-http",
        "iii-observability",
        "iii-http-functions",
    ]
    main, guests = config.settings.worker_listeners
    assert (main.rbac, guests.port) == (None, 49135)
    assert guests.rbac is not None


def test_the_example_has_every_setting() -> None:
    assert set(yaml.safe_load(EXAMPLE.read_text())["cluster"]) == set(KEYS)
