"""Texts that are too long. Pure."""

MARK = "…"  # where a text was cut


def cut(text: str, limit: int) -> str:
    """`text`, or its first `limit` characters and a mark."""
    return text if len(text) <= limit else text[:limit] + MARK
