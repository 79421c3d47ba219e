"""Gateways terminate worker sockets and route invocations."""
