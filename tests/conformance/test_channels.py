"""Channels of the published clients: made on one gateway, with ends on any."""

import json

import pytest

from tests.conformance.conftest import Fleet
from tests.conformance.known import known
from tests.support.sdks import GENERATIONS, NODE_9, NODE_22, PYTHON_9, PYTHON_23, PYTHON_25, Generation

RECORDS = 1_000
TEXTS = [{"type": "progress", "done": done} for done in range(100, RECORDS + 1, 100)]
PAIRS = [(writer, reader) for writer in GENERATIONS for reader in GENERATIONS]
# Every client makes some of the channels.
MAKERS = {pair: GENERATIONS[index % len(GENERATIONS)] for index, pair in enumerate(PAIRS)}


@pytest.mark.parametrize(("writer", "reader"), PAIRS, ids=lambda generation: str(generation))
async def test_what_one_worker_writes_another_reads(
    fleet: Fleet, unique: str, writer: Generation, reader: Generation
) -> None:
    maker = await fleet.worker(MAKERS[writer, reader], 0)
    writing, reading = await fleet.worker(writer, 0), await fleet.worker(reader, 1)
    await writing.ask("pipe", function=f"{unique}::produce", kind="produce")
    await reading.ask("pipe", function=f"{unique}::consume", kind="consume")
    await known(maker, f"{unique}::produce", f"{unique}::consume")
    refs = await maker.ask("channel", buffer=16)
    assert refs["writer"] == {**refs["reader"], "direction": "write"}

    await maker.ask("void", function=f"{unique}::produce", data={"writer": refs["writer"], "records": RECORDS})
    received = await maker.call(f"{unique}::consume", {"reader": refs["reader"]})

    assert received == {"received": RECORDS, "ordered": True, "texts": TEXTS}


@pytest.mark.parametrize("place", [pytest.param(0, id="same-gateway"), pytest.param(1, id="other-gateway")])
@pytest.mark.parametrize("processor", GENERATIONS, ids=str)
async def test_a_worker_answers_while_it_reads(fleet: Fleet, unique: str, processor: Generation, place: int) -> None:
    """One channel to the worker that processes, one back: texts tell how far it is, the end has the result."""
    sender = await fleet.worker(NODE_22 if processor == PYTHON_25 else PYTHON_25, 0)
    sink = await fleet.worker(NODE_9 if processor == PYTHON_23 else PYTHON_23, 1 - place)
    processing = await fleet.worker(processor, place)
    await sender.ask("pipe", function=f"{unique}::produce", kind="produce")
    await sink.ask("pipe", function=f"{unique}::consume", kind="consume")
    await processing.ask("pipe", function=f"{unique}::process", kind="process")
    await known(sender, f"{unique}::produce", f"{unique}::consume", f"{unique}::process")
    there, back = await sender.ask("channel"), await sender.ask("channel")

    work = {"reader": there["reader"], "nested": [{"deep": True}], "writer": back["writer"]}
    await sender.ask("void", function=f"{unique}::process", data=work)
    await sender.ask("void", function=f"{unique}::produce", data={"writer": there["writer"], "records": RECORDS})
    result = await sender.call(f"{unique}::consume", {"reader": back["reader"]})

    assert result["received"] == 1
    assert result["texts"] == TEXTS


@pytest.mark.parametrize(
    ("writer", "reader"), [(PYTHON_25, NODE_22), (NODE_22, PYTHON_9), (NODE_9, PYTHON_25)], ids=str
)
async def test_much_goes_through_a_small_channel(
    fleet: Fleet, unique: str, writer: Generation, reader: Generation
) -> None:
    """Larger than what the sockets between hold: the writer has to wait for the reader."""
    writing, reading = await fleet.worker(writer, 0), await fleet.worker(reader, 1)
    await writing.ask("pipe", function=f"{unique}::produce", kind="produce")
    await reading.ask("pipe", function=f"{unique}::consume", kind="consume")
    await known(writing, f"{unique}::consume")
    refs = await writing.ask("channel", buffer=1)
    given = {"writer": refs["writer"], "records": 300, "pad": 30_000}
    await writing.ask("void", function=f"{unique}::produce", data=given)
    received = await writing.call(f"{unique}::consume", {"reader": refs["reader"]})
    assert (received["received"], received["ordered"], len(received["texts"])) == (300, True, 3)
    assert json.dumps(received["texts"]) == json.dumps(TEXTS[:3])
