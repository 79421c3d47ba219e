"""Functions behind an HTTP address: the gateway of the worker that registered one calls it."""
