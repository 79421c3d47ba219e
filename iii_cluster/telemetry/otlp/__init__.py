"""OTLP: what workers send, and what is sent to collectors."""
