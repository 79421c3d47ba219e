"""A process that is nothing but a bus: `python -m tests.support.bus_peer NODE URL`. It sends results back."""

import asyncio
import signal
import sys

from iii_cluster.bus.envelopes import Result
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.keys import Keys


async def serve(node: str, url: str) -> None:
    bus = Bus(node, [url], Keys("test"))
    bus.on(Result, bus.send)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await bus.start()
    await stopped.wait()
    await bus.stop()


def main() -> None:
    asyncio.run(serve(*sys.argv[1:]))


if __name__ == "__main__":
    main()
