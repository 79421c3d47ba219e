"""Partial updates of stored values, for state and streams: the operations, and doing them atomically per key."""
