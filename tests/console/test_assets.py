"""What the page is made of, without a browser."""

import re

from tests.console.fake import ASSETS

TEXTS = sorted(path for path in ASSETS.rglob("*") if path.suffix in (".js", ".css", ".html", ".svg"))
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc")
ELSEWHERE = re.compile(r"https?://|wss?://|//[a-z]+\.|@import|url\(")
NOT_FETCHED = (
    "http://www.w3.org/2000/svg",
    "ws://localhost:49134",
    "ws://${location.hostname}",
    "${scheme}//",
    "url(#inside)",
)


def test_no_asset_makes_markup_of_data_or_asks_another_server() -> None:
    assert len(TEXTS) > 30
    for path in TEXTS:
        text = path.read_text()
        assert not MARKUP.search(text), path
        for own in NOT_FETCHED:
            text = text.replace(own, "")
        assert not ELSEWHERE.search(text), path


def test_the_html_has_nothing_inline() -> None:
    html = (ASSETS / "index.html").read_text()
    assert "<style" not in html
    assert not re.search(r"\son\w+=|\sstyle=", html)
    assert re.findall(r"<script[^>]*>(.*?)</script>", html, re.S) == [""]


def test_every_module_that_is_imported_exists() -> None:
    for path in ASSETS.rglob("*.js"):
        for imported in re.findall(r'from "(\.[^"]+)"', path.read_text()):
            assert (path.parent / imported).resolve().is_file(), (path, imported)
