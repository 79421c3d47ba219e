"""Continuous calls, to see whether any of them fails while something happens to the cluster."""

import asyncio

from tests.support.sdk_worker import SdkError, SdkWorker

CALLERS = 8  # that call one after the other, without a pause


class Load:
    """Continuous calls of an echo function, several at a time."""

    def __init__(self, caller: SdkWorker, function: str) -> None:
        self._caller = caller
        self._function = function
        self.answered: list[str] = []
        self.errors: list[SdkError] = []
        self._stopping = False
        self._progress = asyncio.Condition()
        self._tasks = [asyncio.create_task(self._run(number)) for number in range(CALLERS)]

    async def _run(self, number: int) -> None:
        call = 0
        while not self._stopping:
            call += 1
            data = {"caller": number, "call": call}
            try:
                answer = await self._caller.call(self._function, data)
                assert data.items() <= answer["data"].items()
                self.answered.append(answer["worker"])
            except SdkError as error:
                self.errors.append(error)
            async with self._progress:
                self._progress.notify_all()

    async def answers(self, count: int) -> list[str]:
        """Who gave the next `count` answers."""
        start = len(self.answered)
        async with asyncio.timeout(60), self._progress:
            await self._progress.wait_for(lambda: len(self.answered) >= start + count)
        return self.answered[start:]

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)
