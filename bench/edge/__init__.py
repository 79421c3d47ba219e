"""HTTP, channels and access control."""
