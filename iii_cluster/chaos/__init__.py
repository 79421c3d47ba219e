"""Failover under test: a load, faults from a seed, a history of what happened, and what must be true of it."""
