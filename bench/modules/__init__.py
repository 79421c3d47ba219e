"""Scenarios of the modules: state, streams, queues, pub/sub, cron."""
