"""The page by itself, before a server of made-up answers."""

from typing import Any

from selenium.webdriver.common.keys import Keys

from tests.console import samples
from tests.console.browser import PHONE, Browser
from tests.console.conftest import TOKEN
from tests.console.contrast import unreadable
from tests.console.fake import FakeConsole

PAGES = {
    "overview": "Slot map",
    "nodes/gateway-0001": "Loop lag",
    "workers": "orders-w1",
    "workers/w1": "Its own measurements",
    "functions": "orders::step-1",
    "functions/default/orders::create": "Schemas",
    "triggers": "parked",
    "queues": "mail",
    "queues/mail": "it broke",
    "streams/orders/all": "1 item",
    "state/orders": "2 values",
    "traces": "POST /3",
    f"traces/{samples.TRACE}": "call step::1",
    "logs": "order 3 was paid",
    "alerts": "firing",
}
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


def opened(browser: Browser, fake: FakeConsole, page: str = "overview", token: str = TOKEN) -> None:
    browser.open(f"{fake.url}#token={token}" if token else fake.url)
    browser.find("#link-state", "live")
    browser.go(page)
    if page in PAGES:
        browser.shows(PAGES[page])


def test_every_page_fits_a_phone_and_can_be_read_in_light_and_dark(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake)
    browser.size(PHONE)
    for scheme in ("light", "dark"):
        browser.prefers(scheme)
        browser.find(f":root[data-theme={scheme}]")
        for page, text in PAGES.items():
            browser.go(page)
            browser.shows(text)
            width = browser.run("return document.documentElement.scrollWidth")
            assert width <= PHONE[0], (page, width)
            assert unreadable(browser) == [], (page, scheme)


def test_the_chosen_colours_are_remembered(browser: Browser, fake: FakeConsole) -> None:
    theme = "return document.documentElement.dataset.theme"
    opened(browser, fake)
    browser.click("#theme", "Auto")
    browser.click("#theme", "Light")
    browser.find("#theme", "Dark")
    assert browser.run(theme) == "dark"
    opened(browser, fake)
    assert browser.run(theme) == "dark"
    browser.click("#theme", "Dark")
    assert browser.run(theme) == "light"


def test_the_token_leaves_the_address_and_stays_in_the_tab(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, "functions/default/orders::create")
    assert TOKEN not in browser.driver.current_url
    assert TOKEN not in browser.run("return JSON.stringify(localStorage) + document.cookie")
    browser.driver.refresh()
    browser.click("#invoke:not(:disabled)")
    browser.shows("3.20 ms")
    assert fake.invoked == [{"function_id": "orders::create", "namespace": "default", "data": {"id": ""}}]


def test_without_a_token_calls_are_off_and_the_page_says_how_to_sign_in(browser: Browser, fake: FakeConsole) -> None:
    browser.driver.get(fake.url)
    browser.run("sessionStorage.clear()")
    opened(browser, fake, "functions/default/orders::create", token="")
    browser.shows("read-only until you sign in")
    assert not browser.find("#invoke").is_enabled()
    browser.click("#read-only button")
    browser.find("input[name=token]").send_keys("a wrong one", Keys.ENTER)
    browser.shows("The cluster has no such token.")
    browser.find("input[name=token]").send_keys(Keys.CONTROL, "a")
    browser.find("input[name=token]").send_keys(TOKEN, Keys.ENTER)
    assert browser.find("#invoke:not(:disabled)").is_enabled()


def test_the_json_editor_says_what_is_wrong_and_where(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, "functions/default/orders::create")
    area = browser.find("#json")
    area.clear()
    area.send_keys('{"a": 1,\n "b": }')
    browser.find("#json-problem", "Line 2, column 7: expected a value")
    assert not browser.find("#invoke").is_enabled()
    area.send_keys(Keys.BACKSPACE, "2}", Keys.CONTROL, Keys.ENTER)
    browser.find(".answer .tag", "ok")
    assert fake.invoked[0]["data"] == {"a": 1, "b": 2}


def test_markup_in_names_stays_text(browser: Browser, fake: FakeConsole) -> None:
    fake.topics["functions"] = {"functions": [samples.function(HOSTILE, 3, description=HOSTILE, worker_name=HOSTILE)]}
    fake.topics["logs"] = {"logs": [samples.log(0, body=HOSTILE, service_name=HOSTILE, attributes={HOSTILE: HOSTILE})]}
    trace = samples.long_trace(2)
    trace["roots"][0] |= {"name": HOSTILE, "attributes": [[HOSTILE, HOSTILE]], "status_description": HOSTILE}
    fake.topics["trace"] = trace
    fake.topics["queues"] = {"queues": [{"name": HOSTILE, "broker_type": HOSTILE, "depth": 1, "dlq_depth": 1}]}
    fake.topics["overview"]["marks"][-1]["text"] = HOSTILE
    opened(browser, fake)
    for page in ("overview", "functions", "logs", f"traces/{samples.TRACE}", "queues"):
        browser.go(page)
        browser.shows(HOSTILE)
        assert browser.run("return document.querySelectorAll('#app img, #app script').length") == 0
    browser.click("td a", HOSTILE)
    browser.find("h1", HOSTILE)
    assert browser.driver.title == f"{HOSTILE} · sample"


def test_long_lists_and_traces_are_a_few_nodes_at_a_time(browser: Browser, fake: FakeConsole) -> None:
    nodes = "return document.querySelectorAll('*').length"
    fake.topics["trace"] = samples.long_trace(12_000)
    opened(browser, fake, "functions")
    assert browser.run(nodes) < 1500
    browser.find("input[type=search]").send_keys("step-1999")
    browser.shows("1 of 2,000 functions")
    browser.go(f"traces/{samples.TRACE}")
    browser.shows("the first 10,000 spans")
    browser.find("[role=tree]").send_keys(Keys.END)
    browser.find(".row.chosen", "call step::9999")
    assert browser.run(nodes) < 1500


def test_a_trace_is_walked_and_folded_with_the_arrow_keys(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, f"traces/{samples.TRACE}")
    tree = browser.find("[role=tree]")
    for key, expected in (
        (Keys.ARROW_DOWN, "call step::1"),
        (Keys.ARROW_RIGHT, "call step::2"),
        (Keys.ARROW_LEFT, "call step::2"),  # folds it
        (Keys.ARROW_DOWN, "call step::11"),
        (Keys.ARROW_UP, "call step::2"),
        (Keys.ARROW_LEFT, "call step::1"),
        (Keys.HOME, "POST /orders"),
    ):
        tree.send_keys(key)
        browser.find(".row.chosen", expected)
        browser.find(".span-details h2", expected)
    chosen = browser.run("return document.activeElement.getAttribute('aria-activedescendant')")
    assert browser.run("return document.getElementById(arguments[0]).getAttribute('aria-level')", chosen) == "1"


def test_a_trace_that_failed_behind_its_first_span_shows_as_failed_with_the_time_of_the_whole(
    browser: Browser, fake: FakeConsole
) -> None:
    opened(browser, fake, "traces")
    failed = browser.find("tbody tr:nth-child(5)").text
    assert all(text in failed for text in ("1 error", "3.00 s", "154 ms", "shop")), failed
    link = browser.find("tbody tr:nth-child(5) td:last-child a")
    assert (link.text, link.get_attribute("title")) == ("00000000", f"Trace {5:032x}")


def test_everything_is_reached_with_the_tab_key_and_nothing_holds_it(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, "queues/mail")
    browser.driver.refresh()
    browser.shows("it broke")
    seen: list[str] = []
    for _ in range(40):
        browser.press(Keys.TAB)
        visible = "const s = getComputedStyle(document.activeElement); return s.outlineStyle"
        focused = browser.focused()
        if focused.startswith("BODY"):
            break
        seen.append(focused)
        assert browser.run(visible) != "none", focused
    assert seen[0] == "A Skip to the content"
    assert {"A Traces", "BUTTON Redrive all", "BUTTON Discard j1", "SUMMARY Payload"} <= set(seen)
    assert len(seen) < 40


def test_a_question_keeps_the_focus_and_escape_is_no(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, "queues/mail")
    browser.find("#discard-all").send_keys(Keys.ENTER)
    browser.find("dialog", "cannot be brought back")
    assert browser.focused() == "BUTTON Cancel"
    browser.press(Keys.ESCAPE)
    browser.until(lambda: browser.focused() == "BUTTON Discard all")


def test_numbers_change_in_place(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake)
    figure = browser.find(".figure dd", "185")
    box = browser.run("window.kept = arguments[0]; return kept.getBoundingClientRect().toJSON()", figure)
    more: dict[str, Any] = samples.overview(now=fake.topics["overview"]["time_ms"] + 2000)
    more["totals"]["per_second"] = 9876
    fake.tell("overview", more)
    browser.shows("9,876")
    assert browser.run("return kept.isConnected && kept.innerText.startsWith('9,876')")
    assert browser.run("return kept.getBoundingClientRect().toJSON()") == box


def test_logs_stand_still_while_they_are_paused(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, "logs")
    browser.click("#pause", "Pause")
    browser.find("#pause", "Go on")
    fake.tell("logs", {"logs": [samples.log(0, 2 * samples.NOW, body="a new one")], "total": 1})
    fake.tell("alerts", {"alerts": [], "firing_count": 0})
    browser.until(lambda: not browser.run("return document.querySelector('nav .tag')"), "what came after it")
    assert "a new one" not in browser.text()
    browser.click("#pause", "Go on")
    browser.shows("a new one")


def test_a_log_record_unfolds_below_the_row_that_was_clicked(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, "logs")
    browser.find(".log-row .origin", "gateway-0001")
    browser.click(".log-row", "order 3 was paid")
    details = browser.find(".log-details", "gateway-0000")
    row = browser.find(".log-row.chosen", "order 3 was paid")
    assert details.rect["y"] == row.rect["y"] + row.rect["height"]
    below = browser.find(".log-row", "order 4 was paid")
    assert below.rect["y"] == details.rect["y"] + details.rect["height"]
    browser.find("[role=listbox]").send_keys(Keys.ARROW_DOWN)
    browser.find(".log-row.chosen", "order 4 was paid")
    browser.find(".log-details", "gateway-0001")
    browser.press(Keys.ESCAPE)
    browser.until(lambda: not browser.run("return document.querySelector('.log-details')"), "folded")


def test_the_number_of_logs_says_how_many_are_kept(browser: Browser, fake: FakeConsole) -> None:
    fake.topics["logs"] = {**fake.topics["logs"], "total": 950}
    opened(browser, fake, "logs")
    browser.shows("300 records, the newest of 950 that are kept.")
    browser.click("button", "Show older ones")
    browser.until(lambda: "Show older ones" not in browser.text(), "all were asked for")


def test_what_comes_late_for_a_filter_that_was_left_is_not_shown(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, "logs")
    fake.tell_late("logs", {"logs": [samples.log(0, 2 * samples.NOW, body="a late one")], "total": 1}, {"limit": 7})
    fake.tell("logs", {"logs": [samples.log(0, 2 * samples.NOW, body="a right one")], "total": 1})
    browser.shows("a right one")
    assert "a late one" not in browser.text()


def test_a_dead_letter_leads_to_its_function_and_its_trace(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, "queues/mail")
    browser.find(".letters a", "mail::send")
    browser.click(".letters a", samples.TRACE[:8])
    browser.find(".copyable", samples.TRACE)


def test_an_alert_shows_its_whole_rule(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, "alerts")
    row = browser.find("tbody tr").text
    assert all(text in row for text in ("iii.invocations.error > 1", "1 min", "calls ops::page", "now")), row


def test_the_only_group_is_shown_without_being_chosen(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake)
    for page, text in (("streams", "1 item"), ("state", "2 values")):
        browser.go(page)
        browser.shows(text)


def test_a_value_of_state_is_set_looked_up_and_deleted(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, "state/orders")
    browser.find("#state-key").send_keys("o-1")
    area = browser.find("#json")
    area.clear()
    area.send_keys('{"paid": true}')
    browser.click("#state-set")
    browser.shows("The value was added.")
    assert fake.values == {"o-1": {"paid": True}}
    fake.values["o-1"] = 42
    browser.click("#state-find")
    browser.shows("This is the value of now.")
    assert browser.find("#json").get_attribute("value") == "42"
    browser.click("#state-delete")
    browser.click("#dialog-yes")
    browser.shows("The value was deleted.")
    assert fake.values == {}


def test_bars_have_the_colour_of_their_service_and_a_legend(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake, f"traces/{samples.TRACE}")
    browser.find(".legend", "orders\niii")
    colours = "return [...document.querySelectorAll('.span-row:not(.failed) .span-bar')].slice(0, 3)"
    first, second, third = browser.run(f"{colours}.map((bar) => getComputedStyle(bar).backgroundColor)")
    assert first == third != second


def test_marks_of_the_time_line_are_read_by_pointing_at_them(browser: Browser, fake: FakeConsole) -> None:
    opened(browser, fake)
    browser.find(".mark text")
    browser.run(
        """const line = document.querySelector('.mark line');
        const { x, y } = line.getBoundingClientRect();
        line.closest('svg').dispatchEvent(new PointerEvent('pointermove', { clientX: x, clientY: y }));"""
    )
    browser.find(".happened", "shard-0002 was declared dead")
