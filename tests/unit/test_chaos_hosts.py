import os
import subprocess
from pathlib import Path

import pytest

from iii_cluster.chaos.clusters import hosts
from iii_cluster.chaos.clusters.hosts import LINK, LINKS, PREFIX, Hosts, remove_leftovers


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_namespaces_and_links_of_processes_that_are_no_more_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, here = ended_process(), os.getpid()
    names = [f"{PREFIX}{pid}-0" for pid in (gone, here)]
    links = [f"{LINK}{pid}{end}" for pid in (gone, here) for end in ("", "h1")]
    for directory, members in (("netns", [*names, "other"]), ("net", [*links, "eth0", f"{LINK}x"])):
        (tmp_path / directory).mkdir()
        for member in members:
            (tmp_path / directory / member).touch()
    monkeypatch.setattr(hosts, "NAMESPACES", str(tmp_path / "netns"))
    monkeypatch.setattr(hosts, "LINKS", str(tmp_path / "net"))
    removed: list[tuple[str, ...]] = []
    monkeypatch.setattr(hosts, "_remove", lambda *arguments: removed.append(arguments))
    remove_leftovers()
    assert removed[0] == ("netns", "delete", f"{PREFIX}{gone}-0")
    assert sorted(removed[1:]) == [("link", "delete", f"{LINK}{gone}"), ("link", "delete", f"{LINK}{gone}h1")]


@pytest.mark.skipif(bool(hosts.unavailable()), reason="no network namespaces here")
def test_closed_hosts_leave_no_link_even_while_somebody_lives_there() -> None:
    made = Hosts(1)
    resident = subprocess.Popen([*made.inside(0), "sleep", "60"])
    try:
        made.close()
        assert not [name for name in os.listdir(LINKS) if name.startswith(f"{LINK}{os.getpid()}")]
    finally:
        resident.kill()
        resident.wait()
