"""The processes of a cluster on this machine: planned, started, watched, replaced and ended."""
