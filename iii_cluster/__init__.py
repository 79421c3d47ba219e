"""The III engine as a horizontally scalable cluster."""

__version__ = "0.1.0"
