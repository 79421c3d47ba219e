"""What users call beside their own functions: state, streams, pub/sub, queues, cron, and modules of their own."""
