"""Channels: streams of messages from a writer to a reader, each of them on any gateway."""
