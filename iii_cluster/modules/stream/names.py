"""Keys and channels of streams. Names may have colons: two different streams never share a key."""

PROBE = "stream-probe"


def place(stream: str, group: str) -> str:
    """A stream and a group as one text, the reference engine's as long as the stream's name has no colon."""
    return f"{escaped(stream)}:{group}"


def escaped(stream: str) -> str:
    return stream.replace("%", "%25").replace(":", "%3A")


class DataKeys:
    """Keys of what is stored. `prefix` may be empty."""

    def __init__(self, prefix: str) -> None:
        self.streams = f"{prefix}streams"  # a set: streams that have items
        self._groups = f"{prefix}stream-groups:"
        self._items = f"{prefix}stream:"

    def items(self, stream: str, group: str) -> str:
        """A hash: item -> value, JSON."""
        return f"{self._items}{place(stream, group)}"

    def groups(self, stream: str) -> str:
        """A set: groups of a stream that have items."""
        return f"{self._groups}{stream}"


def clock(prefix: str, stream: str, group: str) -> str:
    """Of a group, see tell.lua."""
    return f"{prefix}:stream-clock:{place(stream, group)}"


def channel(prefix: str, stream: str, group: str) -> str:
    """Where a group's messages are published."""
    return f"{prefix}:stream-events:{place(stream, group)}"


def probe(prefix: str, node: str) -> str:
    """Where a gateway publishes to itself."""
    return f"{prefix}:{PROBE}:{node}"


def turn(prefix: str, stream: str, group: str, item: str) -> str:
    """Whose turn it is to write an item of a provider."""
    return f"{prefix}:stream-turn:{len(group.encode())}:{place(stream, group)}:{item}"


def present(prefix: str, gateway: str) -> str:
    """A hash: number of a subscription -> who has joined at a gateway."""
    return f"{prefix}:stream-present:{gateway}"


def gateways(prefix: str) -> str:
    """Gateways whose clients are recorded."""
    return f"{prefix}:stream-gateways"


def dead(prefix: str) -> str:
    """Those of them that have died."""
    return f"{prefix}:stream-gateways-dead"


def untold(prefix: str) -> str:
    """Those of the dead whose clients' hooks are still to be told."""
    return f"{prefix}:stream-gateways-untold"


def told(prefix: str, gateway: str) -> str:
    """Numbers of subscriptions of a dead gateway whose hooks were told."""
    return f"{prefix}:stream-told:{gateway}"


def looked(prefix: str) -> str:
    """Exists if somebody looked for dead gateways a short time ago."""
    return f"{prefix}:stream-gateways-looked"
