"""What the cluster keeps of spans, logs and metrics: streams in Redis, bounded by count, age and bytes."""
