"""Parts of the page that only compute, run in the browser they are for."""

from typing import Any

from tests.console.browser import Browser
from tests.console.fake import FakeConsole

# Module, an expression of what it exports (`m`), its value.
CASES: list[tuple[str, str, Any]] = [
    (
        "core/format.js",
        "[0, .0004, 1.5, 12.34, 999, 1500, 90061000].map(m.duration)",
        ["0 ms", "<1 µs", "1.50 ms", "12.3 ms", "999 ms", "1.50 s", "1 d 1 h"],
    ),
    ("core/format.js", "[0, .04, 3.14159, 12345].map(m.rate)", ["0", "<0.1", "3.1", "12,345"]),
    ("core/format.js", "[0, 1023, 1536, 2 ** 40].map(m.bytes)", ["0 B", "1023 B", "1.5 KiB", "1.0 TiB"]),
    (
        "core/router.js",
        "m.parse(m.to(['functions', 'a/b', 'x::y %?#'], {q: '1 2', e: ''}))",
        {"path": ["functions", "a/b", "x::y %?#"], "query": {"q": "1 2"}},
    ),
    (
        "parts/json_text.js",
        """['', '[1,]', '{"a" 1}', '{"a":1', '[1] 2', '{a: 1}', '["x'].map((text) => {
          const { value, problem, column } = m.readJson(text);
          return problem ? `${column} ${problem}` : value;
        })""",
        [
            None,
            "4 expected a value",
            "6 expected a colon",
            "7 expected a comma or }",
            "5 expected nothing more",
            "2 expected a name in double quotes or }",
            "2 expected the end of this string, on its line",
        ],
    ),
    (
        "parts/json_editor.js",
        """m.example({properties: {a: {type: "string"}, b: {enum: [3]}, c: {type: "object",
          properties: {d: {type: "boolean"}}}, e: {type: "null"}}, required: ["a", "b", "c"]})""",
        {"a": "", "b": 3, "c": {"d": False}},
    ),
    ("parts/rows.js", "m.inSight(1000, 300, 30, 2000)", [25, 52]),
    ("parts/scale.js", "[0, 3, 5, 7, 101].map((value) => m.niceMax(value))", [1, 5, 5, 10, 200]),
    ("parts/scale.js", "m.nearest([10, 20, 30], 24)", 1),
    ("parts/scale.js", "m.linePath([0, 1, 2, 3], [5, null, 6, 7], (t) => t, (v) => v)", "M0.0 5.0h1M2.0 6.0L3.0 7.0"),
    (
        "parts/scale.js",
        """m.placeMarks([[10, "lost"], [15, "slots"], [100, "joined"], [190, "redis"]].map(([time_ms, kind]) =>
          ({time_ms, kind, node: "n", text: kind})), (ms) => ms, 200)
          .map(({text, row, anchor}) => [text, row, anchor])""",
        [["lost, slots moved", 0, "start"], ["n joined", 1, "start"], ["redis", 0, "end"]],
    ),
    (
        "parts/scale.js",
        """m.placeMarks([100, 120, 140, 160, 180].map((time_ms, at) => ({time_ms, kind: "redis", node: "",
          text: at % 2 ? "Redis is back" : "Redis cannot be reached"})), (ms) => ms, 400)
          .map(({text, row}) => [text, row])""",
        [
            ["Redis cannot be reached", 0],
            ["Redis is back", 1],
            ["Redis cannot be reached", 2],
            ["Redis is back", 3],
            ["Redis cannot be reached", -1],
        ],
    ),
    ("parts/slot_map.js", "m.unowned({a: [[0, 511]], b: [[513, 1022]]})", [[512, 512], [1023, 1023]]),
    (
        "parts/span_tree.js",
        """(() => {
          const span = (id, from, to, ...children) => ({span_id: id, service_name: "x",
            start_time_unix_nano: from * 1e6, end_time_unix_nano: to * 1e6, children});
          const { rows, end } = m.flatten([
            span("root", 0, 10, span("late", 12, 15), span("b", 4, 8), span("a", 2, 5, span("c", 2, 3))),
          ]);
          const ids = (some) => some.map((row) => row.span.span_id);
          return [ids(rows), rows.map((row) => row.depth), end, rows.map((row) => m.selfTime(rows, row)),
            ids(m.unfolded(rows, new Set(["a"])))];
        })()""",
        [
            ["root", "a", "c", "b", "late"],
            [0, 1, 2, 1, 1],
            15,
            [4, 2, 1, 4, 3],
            ["root", "a", "b", "late"],
        ],
    ),
    (
        "parts/tail.js",
        """(() => {
          const tail = new m.Tail();
          const log = (at, body) => ({timestamp_unix_nano: at, body});
          const added = [tail.add([log(1, "a"), log(1, "a")]), tail.add([log(1, "a"), log(2, "b"), log(1, "a")])];
          return [added, tail.logs.map((one) => one.record.body)];
        })()""",
        [[2, 1], ["b", "a", "a"]],
    ),
]


def test_pure_parts_compute_what_they_promise(browser: Browser, fake: FakeConsole) -> None:
    browser.open(fake.url)
    for module, expression, expected in CASES:
        assert browser.run(f"return import('/{module}').then((m) => {expression})") == expected, expression
