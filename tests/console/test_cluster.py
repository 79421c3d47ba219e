"""The page of a real coordinator, with a real worker, as a person uses it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.console.browser import PHONE, Browser
from tests.support.cluster import Cluster, running_cluster
from tests.support.ports import release_port, reserve_port
from tests.support.raw import CallFailed, raw_worker
from tests.support.sdk_worker import SdkWorker
from tests.support.sdks import PYTHON_25, ClientMissing

TOKEN = "0123456789abcdef-console"
QUEUE = "workers: [{name: iii-queue, config: {queue_configs: {mail: {max_retries: 1, backoff_ms: 10}}}}]"
MARKUP = "shop::<img src=x onerror=alert(1)>"


@pytest.fixture
def cluster(browser: Browser, tmp_path: Path) -> Iterator[Cluster]:
    """With one coordinator, whose console keeps its port."""
    port = reserve_port()
    options = {"console": "on", "console-port": str(port), "lease-ttl": "1", "lease-interval": "0.2"}
    env = {"III_CLUSTER_CONSOLE_TOKENS": TOKEN}
    with running_cluster(tmp_path, QUEUE, gateways=1, shards=1, options=options, env=env) as cluster:
        yield cluster
        browser.leave()
    release_port(port)


@pytest.fixture
def worker(cluster: Cluster, tmp_path: Path) -> Iterator[SdkWorker]:
    try:
        worker = SdkWorker(PYTHON_25, tmp_path, "shop", cluster.gateways[0].url, telemetry=True)
    except ClientMissing as missing:
        pytest.skip(str(missing))
    yield worker
    worker.close()


async def test_a_person_sees_the_cluster_at_work_changes_it_and_outlives_its_coordinator(
    browser: Browser, cluster: Cluster, worker: SdkWorker
) -> None:
    await worker.connect()
    await worker.register("shop::echo", description="Says it again")
    await worker.register(MARKUP)
    url = f"http://127.0.0.1:{cluster.coordinators[0].ports['console']}/"
    await asyncio.to_thread(_refused_without_a_token, browser, url)
    await asyncio.to_thread(_called_with_one, browser, url)
    await asyncio.to_thread(_seen_in_its_trace, browser)
    await _numbers_move(browser, worker)
    await _dead_letters(browser, cluster)
    await asyncio.to_thread(_every_page, browser)
    await asyncio.to_thread(_coordinator_dies, browser, cluster)


def _refused_without_a_token(browser: Browser, url: str) -> None:
    browser.open(url)
    browser.find("#link-state", "live")
    browser.go("functions")
    browser.shows(MARKUP)
    assert not browser.run("return document.querySelectorAll('#app img').length")
    browser.click("a.row", "shop::echo")
    browser.shows("read-only until you sign in")
    assert not browser.find("#invoke").is_enabled()
    body = "{method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{\"function_id\": \"shop::echo\"}'}"
    assert browser.run(f"return fetch('api/invoke', {body}).then((answer) => answer.status)") == 401
    assert "401" in " ".join(browser.problems())  # which Chromium tells, too


def _called_with_one(browser: Browser, url: str) -> None:
    """By keyboard alone."""
    browser.open(f"{url}#token={TOKEN}")
    browser.find("#link-state", "live")
    assert TOKEN not in browser.driver.current_url
    browser.go("functions/default/shop::echo")
    browser.find("#invoke:not(:disabled)")
    while not browser.focused().startswith("TEXTAREA"):
        browser.press(Keys.TAB)
    browser.press(Keys.CONTROL + "a", '{"hello": "w\u00f6rld"}')
    browser.press(Keys.TAB, Keys.ENTER)
    browser.find(".answer .tag", "ok")
    browser.find(".answer pre", "w\u00f6rld")


def _seen_in_its_trace(browser: Browser) -> None:
    browser.click(".answer a.mono")
    browser.find("[role=treeitem]", "call shop::echo")
    browser.find("[role=treeitem]", "execute shop::echo")
    levels = "return [...document.querySelectorAll('[role=treeitem]')].map((e) => Number(e.ariaLevel))"
    assert browser.run(levels) == sorted(browser.run(levels))
    browser.find("[role=tree]").send_keys(Keys.END)
    browser.find(".span-details h2", "execute shop::echo")
    browser.go("traces")
    browser.find("td a", "shop::echo")


async def _numbers_move(browser: Browser, worker: SdkWorker) -> None:
    browser.go("overview")
    await asyncio.to_thread(browser.find, ".figure dd", "/s")
    before = await asyncio.to_thread(browser.run, "return document.querySelector('.readout .at').innerText")
    await asyncio.gather(*(worker.call("shop::echo", {"n": n}) for n in range(50)))
    calls = "return parseFloat(document.querySelector('.figure dd').innerText)"
    at = "return document.querySelector('.readout .at').innerText"
    await asyncio.to_thread(browser.until, lambda: browser.run(calls) > 2 and browser.run(at) != before, "new numbers")
    assert await asyncio.to_thread(browser.find, ".node", "leader")
    assert await asyncio.to_thread(browser.find, ".slots", "1,024 slots")


async def _dead_letters(browser: Browser, cluster: Cluster) -> None:
    """Two jobs die; one is redriven and succeeds, the other is thrown away."""
    async with raw_worker(cluster.gateways[0].url, name="mail") as mail:
        broken = True
        await mail.register("mail::send", lambda _: CallFailed({"code": "smtp", "message": "is away"}) if broken else 1)
        for n in range(2):
            await mail.call("mail::send", {"n": n}, action={"type": "enqueue", "queue": "mail"})
        browser.go("queues/mail")
        await asyncio.to_thread(browser.until, lambda: browser.text().count("is away") == 2, "two dead letters")
        broken = False
        await asyncio.to_thread(browser.click, ".letters button", "Redrive")
        await asyncio.to_thread(browser.click, "#dialog-yes")
        await asyncio.to_thread(browser.shows, "The job went back into the queue.")
        await asyncio.to_thread(browser.until, lambda: browser.text().count("is away") == 1, "one dead letter")
        await asyncio.to_thread(browser.click, "#discard-all")
        await asyncio.to_thread(browser.click, "#dialog-yes")
        await asyncio.to_thread(browser.shows, "1 dead letter deleted.")
        await asyncio.to_thread(browser.shows, "No dead letters")


def _every_page(browser: Browser) -> None:
    """On a phone, without complaints of the browser."""
    browser.size(PHONE)
    for page in ("overview", "workers", "triggers", "queues", "streams", "state", "traces", "logs", "alerts"):
        browser.go(page)
        browser.until(lambda: "Loading" not in browser.text(), page)
        assert not browser.run("return document.querySelector('.note.bad[role=alert]')"), browser.text()
        assert browser.run("return document.documentElement.scrollWidth") <= PHONE[0], page
    assert browser.problems() == []


def _coordinator_dies(browser: Browser, cluster: Cluster) -> None:
    [coordinator] = cluster.coordinators
    browser.go("workers")
    browser.shows("shop")
    coordinator.kill()
    browser.find("#link-state", "reconnecting")
    browser.find(".strip", "What you see is from")
    browser.shows("shop")  # what was there stays
    coordinator.restart()
    browser.find("#link-state", "live")
    browser.until(lambda: not browser.run("return document.querySelector('.strip')"), "the strip is gone")
    browser.problems()  # connections that were refused meanwhile
