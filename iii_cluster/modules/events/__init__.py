"""Events of stored data, from the write to the functions that its triggers name.

The script that writes also appends the event to an outbox, a Redis stream; so the events of a key are in the order of
its writes, and none is lost. An outbox belongs to one shard at a time. That shard calls the targets of the triggers:
those of one event one after the other, the events of one key one after the other, keys side by side.
"""
