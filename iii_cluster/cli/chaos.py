"""`iii-cluster chaos`: break a cluster on purpose, under load, and see whether it holds what it promises."""

import asyncio
import random
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from iii_cluster.config.settings import ADMIN_PORT, REDIS_PORT

from .connection import trust_options
from .nodes import admin_url
from .options import EXIT_INVALID, config_option, load_config

if TYPE_CHECKING:
    from iii_cluster.chaos.options import Options

T = TypeVar("T")

LARGEST_SEED = 2**31
EXIT_CLEAN = 0
EXIT_FAILED = 1
EXIT_TROUBLE = EXIT_INVALID  # it says nothing about the cluster: wrong usage, or nothing could be tried
EXIT_INTERRUPTED = 130

# Options without effect -> what they need, "" for that --attach is not given.
NEEDS = {
    "admin": "attach",
    "tls": "attach",
    "ca_file": "attach",
    "cert_file": "attach",
    "key_file": "attach",
    "server_name": "attach",
    "redis_faults": "attach",
    "redis_url": "redis_faults",
    "gateways": "",
    "shards": "",
    "coordinators": "",
}


@click.command()
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), help="Draws the faults.  [default: a random one]")
@click.option("--duration", type=click.FloatRange(5), default=60.0, show_default=True, help="Seconds of load.")
@click.option(
    "--every", type=click.FloatRange(0.5), default=4.0, show_default=True, help="Mean seconds between faults."
)
@click.option("--faults", help="Names of faults or targets, joined by commas.  [default: all that work here]")
@click.option("--list-faults", is_flag=True, help="Print the faults there are.")
@click.option(
    "--rate", type=click.FloatRange(1), default=120.0, show_default=True, help="Calls per second; other load with them."
)
@click.option("--load", help="Kinds of load, joined by commas, as NAME or NAME=FACTOR.  [default: all]")
@click.option("--gateways", type=click.IntRange(1), default=2, show_default=True, help="Gateways to run.")
@click.option("--shards", type=click.IntRange(1), default=3, show_default=True, help="Shards to run.")
@click.option("--coordinators", type=click.IntRange(1), default=2, show_default=True, help="Coordinators to run.")
@click.option("--attach", is_flag=True, help="Break the cluster that runs on this host instead of one of its own.")
@click.option(
    "--admin",
    default=str(ADMIN_PORT),
    show_default=True,
    envvar="III_CLUSTER_ADMIN",
    show_envvar=True,
    help="Admin port of any node to attach to: port, host:port or URL.",
)
@click.option("--redis-faults", is_flag=True, help="With --attach: break its Redis, too, if it runs on this host.")
@click.option("--redis-url", default=f"redis://127.0.0.1:{REDIS_PORT}", show_default=True, help="For --redis-faults.")
@click.option("--keep-going", is_flag=True, help="Go on breaking things after the first violation.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="[default: ./chaos-SEED]")
@config_option
@trust_options("III_CLUSTER_ADMIN_TLS", implied=False)
def chaos(config_file: Path | None, list_faults: bool, **given: Any) -> None:
    """Test failover: start a cluster, put load on it, break it again and again, and check what happened.

    The faults are drawn from a seed; the same seed and options draw the same faults.

    Exit codes: 0 clean; 1 something happened that must not, the seed and the command that repeats it are printed;
    2 wrong usage, nothing could be tried, or the report not written; 130 interrupted.
    """
    from iii_cluster.chaos.faults.kinds import KINDS

    if list_faults:
        for kind in KINDS.values():
            click.echo(f"{kind.name:<20} {kind.text}")
        return
    _refuse_idle_options()
    raise SystemExit(_run(config_file, given))


def _refuse_idle_options() -> None:
    """Who gives an option wants its effect. Raises UsageError."""
    context = click.get_current_context()
    for name, needed in NEEDS.items():
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        option = next(param.opts[0] for param in context.command.params if param.name == name)
        if needed and not context.params[needed]:
            raise click.UsageError(f"{option} has no effect without --{needed.replace('_', '-')}")
        if not needed and context.params["attach"]:
            raise click.UsageError(f"{option} has no effect with --attach")


def _run(config_file: Path | None, given: dict[str, Any]) -> int:
    from iii_cluster.chaos.clusters.attached import NotAttached
    from iii_cluster.chaos.clusters.children import NotStarted
    from iii_cluster.chaos.clusters.hosts import NoHosts
    from iii_cluster.chaos.clusters.servers import NotLocal
    from iii_cluster.chaos.faults.selection import NoFault, UnknownFault
    from iii_cluster.chaos.load.selection import UnknownLoad
    from iii_cluster.chaos.report.place import NotWritable
    from iii_cluster.chaos.run import NothingFits, NotWarm
    from iii_cluster.local.plan import PlanError
    from iii_cluster.local.ports import PortError
    from iii_cluster.local.valkey import ValkeyError

    try:
        return _chosen(config_file, given)
    except (
        UnknownFault,
        UnknownLoad,
        NoFault,
        NothingFits,
        NotAttached,
        NotLocal,
        NotStarted,
        NotWarm,
        NoHosts,
    ) as error:
        click.echo(f"error: {error}", err=True)
    except (NotWritable, PlanError, PortError, ValkeyError) as error:
        click.echo(f"error: {error}", err=True)
    except KeyboardInterrupt:
        left = "the cluster is left as it was" if given["attach"] else "everything is stopped"
        click.echo(f"interrupted before anything was broken; {left}", err=True)
        return EXIT_INTERRUPTED
    return EXIT_TROUBLE


def _chosen(config_file: Path | None, given: dict[str, Any]) -> int:
    from iii_cluster.chaos.faults.selection import left_out, possible
    from iii_cluster.chaos.report.report import Verdict
    from iii_cluster.chaos.report.screen import Screen
    from iii_cluster.chaos.stage import Stage

    seed = given["seed"] if given["seed"] is not None else random.SystemRandom().randrange(LARGEST_SEED)
    faults, reasons = possible(given["faults"], attach=given["attach"], redis_faults=given["redis_faults"])
    screen = Screen(given["duration"], [f"seed {seed}", *left_out(reasons)])
    counts = {name: given[name] for name in ("gateways", "shards", "coordinators")}
    config = load_config(config_file, counts)
    verdict = interruptible(Stage(_options(seed, faults, config_file, given), config, screen, reasons).run)
    return {
        Verdict.CLEAN: EXIT_CLEAN,
        Verdict.VIOLATED: EXIT_FAILED,
        Verdict.TROUBLE: EXIT_TROUBLE,
        Verdict.INTERRUPTED: EXIT_INTERRUPTED,
    }[verdict]


def _options(seed: int, faults: tuple[str, ...], config_file: Path | None, given: dict[str, Any]) -> "Options":
    from iii_cluster.chaos.load.selection import chosen
    from iii_cluster.chaos.options import Options

    same = ("duration", "every", "gateways", "shards", "coordinators", "rate", "keep_going")
    return Options(
        seed=seed,
        faults=faults,
        load=chosen(given["load"]),
        output=given["output"] or Path(f"chaos-{seed}"),
        attach=admin_url(given["admin"], given["trust"]) if given["attach"] else "",
        trust=given["trust"],
        redis_url=given["redis_url"] if given["redis_faults"] else "",
        config=str(config_file) if config_file else "",
        **{name: given[name] for name in same},
    )


def interruptible(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to the end. A signal cancels `main`: KeyboardInterrupt is raised unless it has a result all the same."""

    async def run() -> T:
        task = asyncio.create_task(main())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    return asyncio.run(run())
