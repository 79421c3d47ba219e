import asyncio
import json
import os

from iii_cluster.node.readiness import report_ready, watch_lifeline


def test_readiness_is_reported_as_one_line_of_json() -> None:
    read, write = os.pipe()
    report_ready(write, {"id": "shard-1", "ports": {"admin": 1}})
    with os.fdopen(read) as pipe:
        assert json.loads(pipe.read()) == {"id": "shard-1", "ports": {"admin": 1}}


def test_a_reader_that_is_gone_does_not_matter() -> None:
    read, write = os.pipe()
    os.close(read)
    report_ready(write, {"id": "shard-1"})


async def test_the_end_of_the_lifeline_is_noticed() -> None:
    read, write = os.pipe()
    ended = asyncio.Event()
    watch_lifeline(read, ended.set)
    os.write(write, b"still here")
    await asyncio.sleep(0)
    assert not ended.is_set()
    os.close(write)
    await ended.wait()
    os.close(read)
