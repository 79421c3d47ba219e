"""Exactly-once, ordered envelopes between nodes, carried by Redis pub/sub."""
