"""What callers are told when a store cannot do what they want."""

from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable


def failed(code: str, error: Exception) -> EngineError:
    """What the caller gets for anything that an adapter raised."""
    if isinstance(error, EngineError):
        return error
    text = str(error) or type(error).__name__
    if isinstance(error, Unavailable) and error.maybe:
        text = text.rstrip(".") + "; it may have been done all the same"
    return EngineError(code, text)
