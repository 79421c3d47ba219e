"""`iii-cluster up`: a whole cluster on this machine with one command."""

import asyncio
import os
import secrets
import signal
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from iii_cluster.config.fields import FLAGS
from iii_cluster.config.load import Config
from iii_cluster.config.ports import CONSOLE, Listening, shared_ports
from iii_cluster.config.redact import redact_url
from iii_cluster.config.settings import Settings, Topology
from iii_cluster.local.child import Ready
from iii_cluster.local.data_dir import DataDirError, DataDirInUse, lock_data_dir
from iii_cluster.local.keeper import StartFailed
from iii_cluster.local.plan import VALKEY_STAGE, PlanError, check_counts, role_specs
from iii_cluster.local.ports import PortError, SharedPort
from iii_cluster.local.supervisor import Supervisor
from iii_cluster.local.valkey import EmbeddedValkey, ValkeyError

from .control import Control
from .options import config_option, load_config, setting_options
from .restarts import Restarts
from .screen import Screen
from .summary import print_summary
from .unfit import refuse_unfit
from .unready import why_not_ready

START_TIMEOUT = 60.0  # s until every process is ready
REDIS_TIMEOUT = 3.0  # s to answer when we look whether it is there
STOP_MARGIN = 10.0  # s a process may take to stop beyond its drain timeout
CONSOLE_TOKEN = 24  # bytes of one made up
EXIT_FAILED = 1
EXIT_FORCED = 130


class RedisUnreachable(Exception):
    pass


@click.command()
@config_option
@setting_options((*Topology.__struct_fields__, *FLAGS))
def up(config_file: Path | None, **flags: Any) -> None:
    """Run a whole cluster on this machine: gateways, shards, coordinators.

    Without --redis-url an embedded Valkey is started, with its data in --data-dir. Ctrl-C stops everything, a
    second one at once. Processes that die are started again.
    """
    config = load_config(config_file, flags)
    counts = config.topology
    nodes = counts.gateways + counts.shards + counts.coordinators
    refuse_unfit(config, gateway=counts.gateways > 0, coordinator=counts.coordinators > 0, nodes=nodes)
    screen = Screen()
    try:
        raise SystemExit(asyncio.run(run_up(config, screen, config_file)))
    except (PlanError, PortError, DataDirError, ValkeyError, RedisUnreachable) as error:
        screen.error(str(error))
        raise SystemExit(EXIT_FAILED) from None


async def run_up(config: Config, screen: Screen, config_file: Path | None = None) -> int:
    """Runs until a signal; returns the exit code. Raises what stands in the way before anything was started."""
    check_counts(config)
    with ExitStack() as held:
        settings, console_token = _with_console_token(_with_shared_ports(config, held), screen)
        valkey, data_dir = None, Path(config.topology.data_dir)
        if not settings.redis_urls:
            valkey = EmbeddedValkey(data_dir, config.topology.redis_port)
            held.callback(valkey.close)
            settings = replace(settings, redis_urls=(valkey.url,))
        else:
            await _check_redis(settings)
            _lock_for_control(data_dir, held)
        return await _Up(config, settings, valkey, data_dir, screen, config_file, console_token).run()


class _Up:
    """One run: start, serve until a signal, stop."""

    def __init__(
        self,
        config: Config,
        settings: Settings,
        valkey: EmbeddedValkey | None,
        data_dir: Path,
        screen: Screen,
        config_file: Path | None,
        console_token: str,
    ) -> None:
        self._settings = settings
        self._console_token = console_token
        self._valkey = valkey
        self._screen = screen
        self._roles = role_specs(config, settings)
        self._stop = asyncio.Event()
        self._forced = False
        self._stop_within = settings.drain_timeout + STOP_MARGIN
        self._supervisor = Supervisor(screen.say, screen.output)
        self._supervisor.explain = partial(why_not_ready, settings=settings)
        restarts = Restarts(
            self._supervisor,
            settings,
            screen.say,
            start_within=START_TIMEOUT,
            stop_within=self._stop_within,
            config_file=config_file,
        )
        self._control = Control(data_dir, restarts.restart)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled)
        try:
            await self._serve()
        except StartFailed as error:
            self._screen.error(str(error))
            self._screen.tail(error.tail)
            return EXIT_FAILED
        finally:
            killed = await self._supervisor.stop(self._stop_within)
            if killed and not self._forced:
                self._screen.say(f"did not stop in time and were killed: {', '.join(killed)}")
        self._screen.say("stopped")
        return EXIT_FORCED if self._forced else 0

    async def _serve(self) -> None:
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await self._open_control()
                await print_summary(
                    self._screen, self._settings, starting.result(), self._valkey is not None, self._console_token
                )
            await stopping
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.wait({starting, stopping})
            await self._control.close()

    async def _open_control(self) -> None:
        try:
            await self._control.open()
        except OSError as error:
            self._screen.say(f"`iii-cluster restart` will not work: {error}")

    async def _start(self) -> list[Ready]:
        with self._screen.progress("Starting the cluster"):
            if self._valkey is not None:
                await self._supervisor.start([self._valkey.spec(VALKEY_STAGE)], START_TIMEOUT)
            return await self._supervisor.start(self._roles, START_TIMEOUT)

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._forced = True
            self._supervisor.kill()
            return
        self._screen.say("stopping; once more to stop at once")
        self._stop.set()


def _with_shared_ports(config: Config, held: ExitStack) -> Settings:
    """The settings with the ports all gateways share, and all coordinators; those of no process here are not ours."""
    settings, counts = config.settings, config.topology

    def share(own: Listening) -> int:
        shared = SharedPort(own.host, own.port, own.option)
        held.callback(shared.close)
        return shared.port

    shared = shared_ports(settings, gateway=counts.gateways > 0, coordinator=counts.coordinators > 0)
    ports = {own.name: share(own) for own in shared}
    settings = replace(settings, console_port=ports.get(CONSOLE, settings.console_port))
    if not counts.gateways:
        return settings
    main, *others = settings.worker_listeners
    return replace(
        settings,
        worker_port=ports["worker"],
        http_port=ports["http"],
        stream_port=ports["stream"],
        listeners=(main, *(replace(one, port=ports[f"worker-{number}"]) for number, one in enumerate(others, 2))),
    )


def _with_console_token(settings: Settings, screen: Screen) -> tuple[Settings, str]:
    """With a console token made up for this run, if none is set and whoever started it can read it: "" otherwise."""
    if settings.console == "off" or settings.console_tokens or settings.console_tokens_file or not screen.on_terminal:
        return settings, ""
    token = secrets.token_urlsafe(CONSOLE_TOKEN)
    return replace(settings, console_tokens=(token,)), token


def _lock_for_control(data_dir: Path, held: ExitStack) -> None:
    """Nothing but restarts needs the directory here: a machine where it cannot be written runs without them."""
    try:
        held.callback(os.close, lock_data_dir(data_dir.absolute()))
    except DataDirInUse:
        raise
    except DataDirError:
        return


async def _check_redis(settings: Settings) -> None:
    for url in settings.redis_urls:
        client = Redis.from_url(url, socket_connect_timeout=REDIS_TIMEOUT, socket_timeout=REDIS_TIMEOUT)
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            raise RedisUnreachable(f"no Redis answers at {redact_url(url)}: {error}") from None
        finally:
            await client.aclose()
