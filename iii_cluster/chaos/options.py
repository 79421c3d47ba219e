"""What a run was asked to do."""

import shlex
from pathlib import Path

from msgspec import Struct

from iii_cluster.access.trust import Trust

from .load.selection import chosen, spelt


class Options(Struct, frozen=True, kw_only=True):
    """Times in seconds. `attach` is the URL of the admin port of a node of a running cluster, "" for a cluster of
    our own; `trust` is for its ports."""

    seed: int
    duration: float
    every: float
    faults: tuple[str, ...]  # names of kinds
    gateways: int
    shards: int
    coordinators: int
    rate: float
    load: dict[str, float]  # factors by name
    output: Path
    attach: str = ""
    trust: Trust = Trust()
    redis_url: str = ""  # of the cluster attached to, if Redis may be broken
    keep_going: bool = False
    config: str = ""  # file

    def command(self) -> str:
        """What draws and carries out the same faults again."""
        words = ["iii-cluster", "chaos", "--seed", str(self.seed), "--duration", f"{self.duration:g}"]
        words += ["--every", f"{self.every:g}", "--rate", f"{self.rate:g}", "--faults", ",".join(self.faults)]
        if self.load != chosen(None):
            words += ["--load", spelt(self.load)]
        if self.config:
            words += ["--config", self.config]
        if self.attach:
            words += ["--attach", "--admin", self.attach, *_words(self.trust)]
            words += ["--redis-faults", "--redis-url", self.redis_url] if self.redis_url else []
        else:
            words += ["--gateways", str(self.gateways), "--shards", str(self.shards)]
            words += ["--coordinators", str(self.coordinators)]
        return shlex.join(words)


def _words(trust: Trust) -> list[str]:
    """Without --tls: the URL says it."""
    options = {
        "--ca-file": trust.ca_file,
        "--client-cert": trust.cert_file,
        "--client-key": trust.key_file,
        "--server-name": trust.server_name,
    }
    return [word for option, value in options.items() if value for word in (option, value)]
