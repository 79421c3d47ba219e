"""Programs built on the published clients, one per client generation, driven by tests over stdin and stdout."""
