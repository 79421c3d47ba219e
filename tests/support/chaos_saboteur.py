"""`iii-cluster chaos` with a worker that takes a function back without a word to anybody who checks."""

import asyncio
from unittest.mock import patch

from iii_cluster.chaos.load import crew
from iii_cluster.chaos.load.client import Client
from iii_cluster.cli.main import main

AFTER = 1.0  # s the function is served


class Saboteur(Client):
    """The owner of single functions at the first gateway; everybody else is honest."""

    async def run(self) -> None:
        taking_back = asyncio.create_task(self._take_back() if "-single-0" in self.name else asyncio.sleep(0))
        try:
            await super().run()
        finally:
            taking_back.cancel()

    async def _take_back(self) -> None:
        while not self.confirmed:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
        await asyncio.sleep(AFTER)
        function = next(iter(self.functions))
        del self.functions[function]  # so that the registry is as expected, and only callers miss it
        await self.send("unregisterfunction", id=function)


if __name__ == "__main__":
    with patch.object(crew, "Client", Saboteur):
        main()
