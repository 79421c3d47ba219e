"""The gateways themselves as targets: each of them answers the functions of modules. Pure."""

from iii_cluster.cluster.map import ClusterMap, Role

from .route import Target, least


class Doors:
    """All gateways of the map; those about to leave only while there are no others."""

    def __init__(self) -> None:
        self._doors: dict[str, Target] = {}
        self.open: list[Target] = []  # where calls may go
        self._avoided: set[str] = set()  # nodes
        self._turn = 0

    def on_map(self, new: ClusterMap) -> None:
        gateways = new.of_role(Role.GATEWAY)
        self._avoided &= new.nodes.keys()
        self._doors = {node: self._doors.get(node) or self._door(node) for node in gateways}
        staying = [node for node in gateways if not new.nodes[node].draining]
        self.open = [self._doors[node] for node in staying or gateways]

    def set_avoided(self, node: str, on: bool) -> None:
        """Whether nobody listens at a node."""
        if on:
            self._avoided.add(node)
        else:
            self._avoided.discard(node)
        if node in self._doors:
            self._doors[node].avoided = on

    def choose(self) -> Target | None:
        """Where the next call goes, None without gateways."""
        if not self.open:
            return None
        self._turn += 1
        return least(self.open, self._turn)

    def _door(self, node: str) -> Target:
        door = Target(node, 0, "")
        door.avoided = node in self._avoided
        return door
