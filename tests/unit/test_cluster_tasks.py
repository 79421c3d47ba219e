import asyncio

from iii_cluster.cluster.tasks import end


async def test_a_task_that_drops_a_cancellation_is_ended_all_the_same() -> None:
    dropped = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            dropped.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert dropped.is_set()
    assert task.cancelled()


async def test_a_task_that_is_over_may_be_ended() -> None:
    async def done() -> None:
        return

    task = asyncio.create_task(done())
    await task
    await end(task)
