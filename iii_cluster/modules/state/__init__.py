"""Values by scope and key, shared by all workers."""
