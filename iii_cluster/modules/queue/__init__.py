"""Queues: topics with subscribers, and named queues that run functions later."""
