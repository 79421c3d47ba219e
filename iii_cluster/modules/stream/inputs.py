"""What the functions of streams take and answer."""

from msgspec import Raw, Struct

from iii_cluster.modules.updates.ops import Op, OpError


class Stream(Struct):
    stream_name: str


class Group(Stream):
    group_id: str


class Item(Group):
    item_id: str

    @property
    def path(self) -> tuple[str, str, str]:
        return self.stream_name, self.group_id, self.item_id


class SetItem(Item):
    data: Raw


class UpdateItem(Item):
    ops: list[Op]


class Send(Group):
    type: str
    data: Raw
    id: str | None = None


class Nothing(Struct):
    """Any object."""


class Changed(Struct):
    old_value: Raw
    new_value: Raw


class ChangedInPart(Changed):
    errors: list[OpError]


class Removed(Struct):
    old_value: Raw


class Listed(Struct):
    id: str
    groups: list[str]


class All(Struct):
    stream: list[Listed]
    count: int
