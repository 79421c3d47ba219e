"""Functions and triggers over what the cluster has collected: traces, logs, metrics, alerts."""
