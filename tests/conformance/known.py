"""Waiting until what one worker registered has become known to another."""

import asyncio

from tests.support.eventually import eventually
from tests.support.sdk_worker import Json, SdkWorker


async def known(worker: SdkWorker, *functions: str) -> None:
    """Returns when `worker` sees all of these in its own list of functions."""

    async def listed() -> bool:
        return set(functions) <= {row["function_id"] for row in await worker.ask("functions")}

    await eventually(listed)


async def unknown(worker: SdkWorker, function: str) -> None:
    """Returns when `worker` no longer sees this function."""

    async def absent() -> bool:
        return function not in {row["function_id"] for row in await worker.ask("functions")}

    await eventually(absent)


async def served_by_all(caller: SdkWorker, function: str, names: set[str]) -> None:
    """Returns when calls of an echo function have been answered by each of the named workers."""
    seen: set[str] = set()

    async def all_answered() -> bool:
        answers: list[Json] = await asyncio.gather(*(caller.call(function, {}) for _ in range(4)))
        seen.update(answer["worker"] for answer in answers)
        return seen >= names

    await eventually(all_answered)


def payload(data: Json) -> Json:
    """Call data without the id of the caller, which the engine adds."""
    return {key: value for key, value in data.items() if key != "_caller_worker_id"}
