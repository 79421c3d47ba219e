"""Shards own slots of the function and trigger registries."""
