import pytest

from coordinator.console import filters
from coordinator.console.assets import load
from coordinator.console.failure import Failure
from coordinator.console.filters import as_input, read_filter
from coordinator.console.routes import Request, Route, Routes, query_of


async def nothing(_request: Request) -> bytes:
    return b"{}"


ROUTES = Routes(
    [
        Route("GET", "/api/queues/{name}", nothing),
        Route("GET", "/api/queues/all", nothing),
        Route("POST", "/api/queues/{name}/redrive", nothing, True),
        Route("DELETE", "/api/states/{scope}/{key}", nothing, True),
        Route("PUT", "/api/states/{scope}/{key}", nothing, True),
    ]
)


def test_segments_are_decoded_one_by_one() -> None:
    route, place = ROUTES.find("PUT", "/api/states/a%2Fb/c%3A%3Ad%20e")
    assert route.writes
    assert place == {"scope": "a/b", "key": "c::d e"}


def test_a_path_that_says_it_all_wins() -> None:
    assert ROUTES.find("GET", "/api/queues/all")[0].path == "/api/queues/all"
    assert ROUTES.find("GET", "/api/queues/other")[1] == {"name": "other"}


@pytest.mark.parametrize("path", ["/api/queues", "/api/queues/", "/api/queues/a/b/c", "/api/states//k", "/api"])
def test_what_is_not_there_is_not_found(path: str) -> None:
    with pytest.raises(Failure) as missing:
        ROUTES.find("GET", path)
    assert missing.value.status == 404


def test_the_methods_of_a_path_are_told() -> None:
    with pytest.raises(Failure) as refused:
        ROUTES.find("GET", "/api/states/s/k")
    assert (refused.value.status, refused.value.message) == (405, "this path takes DELETE, PUT")


def test_a_query_with_too_many_fields_is_refused() -> None:
    assert query_of("a=1&a=2&b=%20") == {"a": "2", "b": " "}
    with pytest.raises(Failure):
        query_of("&".join(f"f{n}=1" for n in range(100)))


def test_what_a_path_names_cannot_be_said_otherwise_behind_it() -> None:
    assert Request({"name": "a"}, {"name": "b", "limit": "1"}).asked == {"name": "a", "limit": "1"}


def test_filters_take_text_as_queries_have_it() -> None:
    asked = read_filter(filters.Traces, {"limit": "5", "status": "error", "name": ""})
    assert as_input(asked) == (b'{"limit":5,"offset":0,"sort_order":"desc","status":"error","include_internal":false}')


def test_a_function_is_looked_for_in_all_spans_of_a_trace() -> None:
    asked = read_filter(filters.Traces, {"function_id": "a::b"})
    assert b'"attributes":[["function_id","a::b"]]' in as_input(asked)


@pytest.mark.parametrize("said", [{"limit": "many"}, {"limit": "100000"}, {"offset": "-1"}, {"statos": "error"}])
def test_filters_that_make_no_sense_are_told(said: dict[str, str]) -> None:
    with pytest.raises(Failure) as refused:
        read_filter(filters.Traces, said)
    assert refused.value.status == 400


def test_the_page_is_among_the_assets_and_nothing_else_of_the_package() -> None:
    found = load()
    assert found["/"] == found["/index.html"]
    assert found["/"].kind.startswith(b"text/html")
    assert not [path for path in found if path.endswith(".py") or ".." in path]
