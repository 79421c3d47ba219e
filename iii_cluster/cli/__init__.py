"""The iii-cluster command."""
