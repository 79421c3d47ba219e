"""Who makes channels: ids that some gateway of this cluster made are told from ids that nobody made. Pure."""

import re

from iii_cluster.cluster.map import tag_of

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TAG = 8  # first characters of an id: its maker's
MAX_MAKERS = 10_000


class Makers:
    """Gateways that are, or were, in the map. Their channels may be over, but they were."""

    def __init__(self) -> None:
        self._tags: dict[str, None] = {}  # oldest first

    def add(self, node: str) -> None:
        self._tags[tag_of(node)] = None
        if len(self._tags) > MAX_MAKERS:
            del self._tags[next(iter(self._tags))]

    def made(self, id: str) -> bool:
        """Whether one of them made the id, as far as can be seen."""
        return id[:_TAG] in self._tags and _ID.fullmatch(id) is not None
