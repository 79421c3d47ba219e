"""What a bus counts, over all its links."""

from msgspec import Struct


class Counters(Struct):
    """Totals since the bus was made. Outgoing unless the name ends in `_in`."""

    packets: int = 0
    envelopes: int = 0
    bytes: int = 0  # of packets, first transmissions only
    packets_in: int = 0
    envelopes_in: int = 0
    bytes_in: int = 0
    resent: int = 0  # packets published again
    duplicates: int = 0  # packets received again
    gaps: int = 0  # times a packet was found missing
    resets: int = 0  # streams given up, own and peers'
    undecodable: int = 0  # packets and envelopes skipped
    connects: int = 0  # to servers that are published to
    outages: int = 0  # times the inbox or the broadcasts were not heard any more
