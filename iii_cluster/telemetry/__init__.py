"""Traces, logs and metrics: of the cluster itself, and of workers that send theirs."""
