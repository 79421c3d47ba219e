"""Ids of one run, told apart from everybody else's in a cluster it is attached to."""


class Names:
    def __init__(self, seed: int) -> None:
        self.prefix = f"chaos-{seed}"

    def function(self, kind: str, *parts: object) -> str:
        return "::".join([self.prefix, kind, *map(str, parts)])

    def group(self, kind: str, *parts: object) -> str:
        """What the ids of some functions begin with."""
        return self.function(kind, *parts) + "::"

    def worker(self, kind: str, *parts: object) -> str:
        return "-".join([self.prefix, kind, *map(str, parts)])
