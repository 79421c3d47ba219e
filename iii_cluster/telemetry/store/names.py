"""Keys of the store. The hash tag keeps them in one Redis Cluster slot."""


class Names:
    """Of the cluster whose keys begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self.spans = f"{prefix}:otel:spans"  # stream: t trace id, s span id, d the span
        self.trace = f"{prefix}:otel:trace:"  # and the trace id; hash: span id -> id in the stream
        self.logs = f"{prefix}:otel:logs"  # stream: w 1, m ms of the event, d the record
        self.metrics = f"{prefix}:otel:metrics"  # stream: w number of points, m ms of receipt, d the metric
        self._turn = f"{prefix}:otel:turn:"  # and a duty; string with a time to live: somebody does it

    def turn(self, duty: str) -> str:
        return self._turn + duty

    @staticmethod
    def numbers(stream: str) -> str:
        """Hash: bytes, dropped; of records also weight."""
        return f"{stream}:numbers"
