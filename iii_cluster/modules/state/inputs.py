"""What the functions of state take and answer."""

from msgspec import Raw, Struct

from iii_cluster.modules.updates.ops import Op, OpError

_ABSENT = Raw(b"")


class SetInput(Struct):
    scope: str
    key: str
    value: Raw = _ABSENT
    data: Raw = _ABSENT  # another name for `value`

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
