"""What the functions of state take and answer."""

from msgspec import Raw, Struct, field

from iii_cluster.modules.updates.ops import Op, OpError


class SetInput(Struct):
    scope: str
    key: str
    value: Raw = field(default_factory=Raw)  # empty: absent; a plain default would have no schema
    data: Raw = field(default_factory=Raw)  # another name for `value`

    def __post_init__(self) -> None:
        if not len(self.value) and not len(self.data):
            raise ValueError("Object missing required field `value`")


class KeyInput(Struct):
    scope: str
    key: str


class UpdateInput(Struct):
    scope: str
    key: str
    ops: list[Op]


class ScopeInput(Struct):
    scope: str


class Updated(Struct):
    old_value: Raw
    new_value: Raw


class UpdatedInPart(Updated):
    errors: list[OpError]
