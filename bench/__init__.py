"""Measures a running cluster, or any server of the worker protocol, from outside."""
