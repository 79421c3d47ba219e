"""What a socket's address says of the end of a channel that it wants. Pure."""

from typing import NamedTuple

PATH = "/ws/channels/"
_DIRECTIONS = {"write": True, "read": False}


class Wanted(NamedTuple):
    """`write`: the writer's end, else the reader's; None: the address does not say, or has no key."""

    id: str
    key: str
    write: bool | None


def wanted(target: str) -> Wanted | None:
    """None if `target`, path and query as the client sent them, is not the address of a channel.

    Clients put the path of their engine before it, and its query before the channel's own: the last value counts. Old
    ones put all of that address before it, query and all: "/?token=t/ws/channels/id?key=k&dir=read".
    """
    before, found, rest = target.rpartition(PATH)
    id, asked, query = rest.partition("?")
    if not found or ("?" in before and not asked):
        return None
    values = dict(pair.partition("=")[::2] for pair in query.split("&"))
    key = values.get("key", "")
    return Wanted(id, key, _DIRECTIONS.get(values.get("dir", "")) if key else None)
