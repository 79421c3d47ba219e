from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.bus.packets import DATA, MalformedPacket, Packet, pack, unpack

counts = st.integers(0, 2**63)
fields = st.tuples(
    st.integers(0, 255), st.text(), counts, counts, counts, counts, st.lists(st.binary(max_size=50)), st.booleans()
)


@given(fields)
def test_a_packet_comes_back_as_it_was(values: tuple[int, str, int, int, int, int, list[bytes], bool]) -> None:
    assert unpack(pack(*values)) == Packet(*values)


def test_pieces_of_a_buffer_travel_as_bytes() -> None:
    assert unpack(pack(DATA, "a", 1, 1, 0, 0, [memoryview(b"abc")[1:]])).parts == [b"bc"]


def test_fields_added_by_a_newer_version_are_ignored() -> None:
    body = msgpack.packb([DATA, "a", 1, 2, 3, 4, [b"x"], False, {"new": 1}])
    assert unpack(body) == Packet(DATA, "a", 1, 2, 3, 4, [b"x"], False)


@pytest.mark.parametrize(
    "value",
    [
        [],
        [DATA, "a", 1, 2, 3],
        [DATA, 7, 1, 2, 3, 4],
        [DATA, "a", -1, 2, 3, 4],
        [DATA, "a", 1, 2, 3, 4, ["text"]],
        [DATA, "a", 1.5, 2, 3, 4],
        {"kind": DATA},
        None,
    ],
)
def test_values_of_the_wrong_shape_are_refused(value: object) -> None:
    with pytest.raises(MalformedPacket):
        unpack(msgpack.packb(value))


@given(st.binary(max_size=100))
def test_any_bytes_are_a_packet_or_refused(body: bytes) -> None:
    with suppress(MalformedPacket):
        assert isinstance(unpack(body), Packet)


@given(fields, st.data())
def test_damaged_packets_are_packets_or_refused(
    values: tuple[int, str, int, int, int, int, list[bytes], bool], data: st.DataObject
) -> None:
    body = bytearray(pack(*values))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MalformedPacket):
        unpack(bytes(body))
