"""A headless Chromium, and what tests ask of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

CHROMIUM = Path("/usr/bin/chromium")
DRIVER = Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
)
WITHIN = 30.0  # seconds
INTERVAL = 0.05  # seconds between two looks
DESKTOP = (1280, 900)
PHONE = (360, 740)


def installed() -> bool:
    return CHROMIUM.exists() and DRIVER.exists()


class Browser:
    """One tab. Elements are found by CSS selector; every look waits for what it looks for."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """A page as from a new tab: nothing is remembered of the one before."""
        self.leave()
        self.driver.get(url)

    def leave(self) -> None:
        self.driver.get("about:blank")

    def go(self, page: str) -> None:
        """To a page of the console that is open, such as `functions`."""
        self.run("location.hash = arguments[0]", f"#/{page}")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, check: Callable[[], Any], what: str = "") -> Any:
        """The first true value of `check`. Nodes that were replaced meanwhile are looked for again."""
        deadline = time.monotonic() + WITHIN
        while True:
            try:
                if value := check():
                    return value
            except StaleElementReferenceException:
                pass
            if time.monotonic() >= deadline:
                raise AssertionError(f"not within {WITHIN} s: {what or check}\n{self.text()[:2000]}\n{self.problems()}")
            time.sleep(INTERVAL)

    def find(self, selector: str, text: str = "") -> WebElement:
        """The first visible element that has `text` in it."""

        def look() -> WebElement | None:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return next((one for one in found if one.is_displayed() and text in one.text), None)

        element: WebElement = self.until(look, f"{selector} with {text!r}")
        return element

    def click(self, selector: str, text: str = "") -> None:
        self.find(selector, text).click()

    def text(self) -> str:
        return str(self.run("return document.body ? document.body.innerText : ''"))

    def shows(self, text: str) -> None:
        """Waits for a text anywhere on the page."""
        self.until(lambda: text in self.text(), f"the text {text!r}")

    def press(self, *keys: str) -> None:
        """To whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def focused(self) -> str:
        """What has the focus: its tag and its text or label."""
        script = (
            "const e = document.activeElement; return e.tagName + ' ' + (e.getAttribute('aria-label') || e.innerText)"
        )
        return str(self.run(script))

    def size(self, size: tuple[int, int]) -> None:
        """Of the view, also below what windows may have."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefers(self, scheme: str) -> None:
        """Light or dark, as the system would say."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def problems(self) -> list[str]:
        """What the browser complained about since the last time: errors, and what the policy of the page blocked."""
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in log if entry["level"] in ("SEVERE", "WARNING")]

    def shot(self, path: Path) -> None:
        """The whole page as a PNG."""
        self.driver.save_screenshot(str(path))


@contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    """With `profile`, a new directory, as its memory."""
    options = Options()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}", "--window-size=1280,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=str(DRIVER)))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
