"""Finding a route, without anything around it."""

import json
import timeit

from gateway.http.routes import Routes
from iii_cluster.bus.envelopes import Trigger

NUMBER = 20_000
REPEATS = 5


def lookup_us(count: int) -> float:
    """Microseconds to find one of `count` routes and its parameter; the best of several tries."""
    routes = Routes()
    routes.update(
        Trigger(f"t{number}", "http", "bench::http", json.dumps({"api_path": f"/bench/{number}/:id"}).encode())
        for number in range(count)
    )
    path = f"bench/{count // 2}/17"
    found = routes.match("GET", path)
    if found is None or found.parameters != {"id": "17"}:
        raise RuntimeError(f"/{path} leads nowhere")
    return min(timeit.repeat(lambda: routes.match("GET", path), number=NUMBER, repeat=REPEATS)) / NUMBER * 1e6
