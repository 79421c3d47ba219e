"""A cluster of our own: an embedded Valkey and role processes, on this host or spread over hosts of our own."""

import re
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from iii_cluster.access.trust import Secured, own
from iii_cluster.chaos.history import Elected
from iii_cluster.chaos.recorder import Recorder
from iii_cluster.cluster.map import Role
from iii_cluster.config.load import Config, to_environment
from iii_cluster.config.ports import admin_port, ports_of_gateway
from iii_cluster.config.settings import Settings
from iii_cluster.local.child import ChildSpec
from iii_cluster.local.plan import VALKEY_STAGE, role_specs
from iii_cluster.local.ports import SharedPort
from iii_cluster.local.valkey import EmbeddedValkey

from .addresses import Address
from .children import Children, NotStarted
from .cluster import Process
from .hosts import Hosts
from .logs import Logs
from .queues import with_queues
from .servers import DURABLE, VALKEY, OwnRedis

HOST = "127.0.0.1"
WORKER_PORT, STREAM_PORT, HTTP_PORT = (
    49134,
    50134,
    51134,
)  # of the first gateway, on hosts of our own, where all ports are free
START_TIMEOUT = 60.0  # s
STOP_TIMEOUT = 5.0  # s, then what still runs is killed: the run is over
ELECTED = re.compile(r" node=(\S+) .*\baction=elected term=(\d+)")


class Fleet:
    """`directory` gets the data of Valkey and the logs, `say` is told when it can not.

    `hosts` is None for everything on this host.
    """

    def __init__(
        self, config: Config, directory: Path, hosts: Hosts | None, recorder: Recorder, say: Callable[[str], None]
    ) -> None:
        self._hosts = hosts
        self._recorder = recorder
        self._directory = directory
        self._held = ExitStack()
        self._logs = Logs(directory / "logs", say)
        self._gateways: list[str] = []
        self._places: dict[str, int] = {}  # number of the host by process
        self._children = Children(self._output)
        self._config = config
        self._secured: dict[str, Secured] = {}  # by name of the port
        self.redis: OwnRedis | None = None

    async def start(self) -> None:
        """Raises NotStarted, and what stands in the way of Valkey or a port."""
        try:
            (self._directory / "logs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotStarted(f"logs can not be written: {error}") from None
        valkey = EmbeddedValkey(self._directory / "redis", 0)
        self._held.callback(valkey.close)
        spec = valkey.spec(VALKEY_STAGE)
        spec = msgspec.structs.replace(spec, argv=(*spec.argv, *DURABLE))
        url = valkey.url
        if self._hosts is not None:
            # Whoever is on the bridge may use it: that is nobody but our hosts.
            open_up = ("--bind", HOST, self._hosts.hub, "--protected-mode", "no")
            spec = msgspec.structs.replace(spec, argv=(*spec.argv, *open_up))
            url = f"redis://{self._hosts.hub}:{valkey.port}"
        await self._children.start([spec], START_TIMEOUT)
        self.redis = OwnRedis(self._children, HOST, valkey.port)
        await self.redis.flush()  # of an earlier run with the same directory
        given = self._config.settings
        settings = msgspec.structs.replace(
            given,
            redis_urls=(url,),
            host=HOST,
            admin_host=HOST,
            admin_port=0,
            metrics_host="",
            metrics_port=0,
            console="off",
            modules=with_queues(given.modules),
        )
        for port in (admin_port(settings), *ports_of_gateway(settings)):
            if port.tls is not None:
                self._secured[port.name] = Secured(own(port.tls).context, HOST)
        await self._children.start(
            [self._placed(spec, settings) for spec in role_specs(self._config, settings)], START_TIMEOUT
        )

    def _placed(self, spec: ChildSpec, settings: Settings) -> ChildSpec:
        """The child with ports and a host of its own."""
        role, _, number = spec.name.partition("-")
        env = spec.env
        if role == "gateway":
            worker, stream, http = self._ports(int(number))
            self._gateways.append(spec.name)
            env = env | to_environment(
                msgspec.structs.replace(settings, worker_port=worker, stream_port=stream, http_port=http)
            )
        argv = (*_with_us(), *spec.argv)
        if self._hosts is not None:
            self._places[spec.name] = place = (int(number) - 1) % len(self._hosts.names)
            argv = (*self._hosts.inside(place), *argv)
        return msgspec.structs.replace(spec, env=env, argv=argv)

    def _ports(self, number: int) -> tuple[int, ...]:
        """For workers, stream clients and HTTP."""
        if self._hosts is not None:
            return WORKER_PORT + number, STREAM_PORT + number, HTTP_PORT + number
        held = [SharedPort(HOST, 0, flag) for flag in ("--worker-port", "--stream-port", "--http-port")]
        for shared in held:
            self._held.callback(shared.close)
        return tuple(shared.port for shared in held)

    async def stop(self) -> None:
        """Ends everything, also what is frozen."""
        for name in self._children.names:
            self._children.signal(name, signal.SIGCONT)
        await self._children.stop(STOP_TIMEOUT)
        if self.redis is not None:
            await self.redis.close()
        self._held.close()
        self._logs.close()

    # Ways in: each gateway has a port of its own, so that workers can choose

    @property
    def entrances(self) -> int:
        return len(self._gateways)

    def entrance(self, number: int) -> Address | None:
        process = self._process(self._gateways[number])
        return process.worker if process is not None else None

    def stream_entrance(self, number: int) -> Address | None:
        process = self._process(self._gateways[number])
        return process.stream if process is not None else None

    def http_entrance(self, number: int) -> Address | None:
        process = self._process(self._gateways[number])
        return process.http if process is not None else None

    def stream_gateway(self, number: int) -> str:
        return self._gateways[number]

    def gateway_of(self, number: int, _worker: str) -> str:
        return self._gateways[number]

    def count(self, role: Role) -> int:
        counts = self._config.topology
        return {Role.GATEWAY: counts.gateways, Role.SHARD: counts.shards}.get(role, counts.coordinators)

    @property
    def processes(self) -> list[Process]:
        return [process for name in self._children.names if (process := self._process(name)) is not None]

    def _process(self, name: str) -> Process | None:
        """None while it does not serve."""
        ready = self._children.ready(name)
        if ready is None or name == VALKEY:
            return None
        host = self._hosts.names[self._places[name]] if self._hosts is not None else ""
        places = {kind: Address(HOST, port, host, self._secured.get(kind)) for kind, port in ready.ports.items()}
        return Process(
            name=name,
            role=ready.role,
            node=ready.id,
            pid=ready.pid,
            admin=places["admin"],
            worker=places.get("worker"),
            stream=places.get("stream"),
            http=places.get("http"),
            host=host,
        )

    def kill(self, name: str, away: float) -> None:
        self._children.kill(name, away)

    def terminate(self, name: str, away: float) -> None:
        self._children.terminate(name, away)

    def freeze(self, name: str) -> None:
        self._children.signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._children.signal(name, signal.SIGCONT)

    async def back(self, name: str) -> None:
        await self._children.back(name)

    def replaced(self, name: str) -> bool:
        return False  # names stay

    def cut(self, host: str) -> None:
        assert self._hosts is not None
        self._hosts.cut(self._hosts.names.index(host))

    def mend(self, host: str) -> None:
        assert self._hosts is not None
        self._hosts.mend(self._hosts.names.index(host))

    def _output(self, name: str, line: str) -> None:
        self._logs.write(name, self._recorder.now(), line)
        found = ELECTED.search(line)
        if found:
            at = self._recorder.now()
            elected = Elected(process=name, node=found[1], at=at, term=int(found[2]))
            self._recorder.history.elected.append(elected)


def _with_us() -> tuple[str, ...]:
    """Has the kernel end what follows when we die, where it can: a frozen process would not notice by itself."""
    tool = shutil.which("setpriv")
    return (tool, "--pdeathsig", "KILL") if tool else ()
