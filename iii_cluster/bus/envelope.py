"""What every envelope is."""

from msgspec import Struct


class Envelope(Struct, array_like=True, gc=False, tag_field="kind"):
    """Base of all envelopes."""
