"""Streams: values by stream, group and item, whose changes are pushed to clients."""
