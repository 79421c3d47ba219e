"""Which URLs may be called: the order of the checks and their texts."""

from typing import Any

import pytest

from iii_cluster.outgoing.failures import (
    HTTPS_REQUIRED,
    INVALID_URL,
    NOT_ALLOWED,
    PRIVATE_IP,
    URL_REFUSED,
)
from iii_cluster.outgoing.globs import BadGlob, compile_globs
from iii_cluster.outgoing.security import Security
from iii_cluster.outgoing.urls import UrlPolicy
from iii_cluster.protocol.errors import EngineError


def refusal(url: str, **security: Any) -> str:
    """Empty for a URL that may be called."""
    try:
        UrlPolicy(Security(**security)).check(url)
    except EngineError as error:
        assert error.code == URL_REFUSED  # noqa: PT017
        return error.message
    return ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "https://",
        "https:///path",
        "https:example.com",
        "https://[::1",
        "https://exa mple.com/",
        " https://example.com/",
        "https://example.com/\r\nX: y",
        "https://example.com/\t",
        "https://example.com\\@10.0.0.1/",
        "https:\\\\example.com/",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://:secret@example.com/",
        "https://example.com@10.0.0.1/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://%31%30.0.0.1/",
        "https://a..b/",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
        "https://ex*mple.com/",
        "https://example.com/" + "a" * 8192,
    ],
)
def test_what_is_no_url(url: str) -> None:
    assert refusal(url) == INVALID_URL
    assert refusal(url, require_https=False, block_private_ips=False) == INVALID_URL


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.0.1/",
        "https://127.0.0.1/",
        "https://127.0.0.1./",
        "https://127.1/",
        "https://0x7f.1/",
        "https://0X7F000001/",
        "https://017700000001/",
        "https://2130706433/",
        "https://0/",
        "https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
        "https://127\u30020\u30020\u30021/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:7f00:1]/",
        "https://[::FFFF:127.0.0.1]:8443/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[fd00::1]/",
    ],
)
def test_addresses_that_are_private_in_any_spelling(url: str) -> None:
    assert refusal(url) == PRIVATE_IP
    assert refusal(url, block_private_ips=False) == ""


def test_names_are_left_to_the_name_server() -> None:
    target = UrlPolicy(Security()).check("https://localhost/")
    assert target.address is None


@pytest.mark.parametrize(
    ("url", "requested"),
    [
        ("https://Example.COM", "https://example.com"),
        ("https://example.com./a", "https://example.com/a"),
        ("https://example.com:443/a?b=%2Bc#d", "https://example.com/a?b=%2Bc"),
        ("https://straße.de/", "https://xn--strae-oqa.de/"),
        ("https://8.8.2056/x", "https://8.8.8.8/x"),
        ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("https://example.com/a/../b;c=1,2?d=e%26f", "https://example.com/b;c=1,2?d=e%26f"),
    ],
)
def test_the_url_that_was_judged_is_the_one_that_is_requested(url: str, requested: str) -> None:
    assert str(UrlPolicy(Security()).check(url).url) == requested


def test_https_is_required_unless_switched_off() -> None:
    assert refusal("http://example.com/") == HTTPS_REQUIRED
    assert refusal("ftp://example.com/") == HTTPS_REQUIRED
    assert refusal("http://example.com/", require_https=False) == ""
    assert refusal("ftp://example.com/", require_https=False) == INVALID_URL
    assert refusal("HTTPS://example.com/") == ""


@pytest.mark.parametrize(
    ("globs", "allowed", "refused"),
    [
        ((), ["a.example", "8.8.8.8"], []),
        (("*",), ["a.example"], []),
        (("api.example.com",), ["api.example.com", "API.example.com", "api.example.com."], ["example.com"]),
        (("*.example.com",), ["a.example.com", "a.b.example.com"], ["example.com", "example.com.evil.org"]),
        (("API.Example.com",), ["api.example.com"], []),
        (
            ("api?.example.com", "b.example"),
            ["api1.example.com", "b.example"],
            ["api.example.com", "api12.example.com"],
        ),
        (("api[0-3].example.com",), ["api0.example.com"], ["api4.example.com"]),
        (("api[!0-3].example.com",), ["api4.example.com"], ["api0.example.com"]),
        (("https://example.com",), [], ["example.com"]),
        (("8.8.8.8",), ["8.8.8.8", "8.8.2056"], ["8.8.4.4"]),
        (("xn--strae-oqa.de",), ["straße.de"], ["strasse.de"]),
    ],
)
def test_the_allowlist_is_about_hosts(globs: tuple[str, ...], allowed: list[str], refused: list[str]) -> None:
    assert [refusal(f"https://{host}/", url_allowlist=globs) for host in allowed] == [""] * len(allowed)
    assert [refusal(f"https://{host}/", url_allowlist=globs) for host in refused] == [NOT_ALLOWED] * len(refused)


@pytest.mark.parametrize("glob", ["[", "a[b", "[!]", "[z-a]"])
def test_an_allowlist_that_cannot_be_read_allows_nothing(glob: str) -> None:
    assert refusal("https://example.com/", url_allowlist=("*", glob)) == INVALID_URL
    with pytest.raises(BadGlob):
        compile_globs([glob])


def test_checks_have_an_order() -> None:
    assert refusal("http://10.0.0.1/", url_allowlist=("a",)) == HTTPS_REQUIRED
    assert refusal("https://10.0.0.1/", url_allowlist=("a",)) == NOT_ALLOWED
    assert refusal("https://10.0.0.1/") == PRIVATE_IP
    assert refusal("http://10.0.0.1/", url_allowlist=("[",)) == INVALID_URL


@pytest.mark.parametrize(
    ("location", "there"),
    [
        ("/b", "https://example.com/b"),
        ("b?c=d", "https://example.com/x/b?c=d"),
        ("https://other.example/", "https://other.example/"),
        ("//other.example/z", "https://other.example/z"),
        ("http://example.com/", HTTPS_REQUIRED),
        ("https://127.0.0.1/", PRIVATE_IP),
        ("//2130706433/", PRIVATE_IP),
        ("https://user@example.com/", INVALID_URL),
        ("javascript:alert(1)", INVALID_URL),
        ("file:///etc/passwd", INVALID_URL),
        ("https://exa\\mple.com/", INVALID_URL),
        ("\r\nx", INVALID_URL),
    ],
)
def test_redirects_are_held_to_the_same_rules(location: str, there: str) -> None:
    policy = UrlPolicy(Security(require_https=location.startswith("https://")))
    target = policy.check("https://example.com/x/y")
    try:
        assert str(policy.check_redirect(target, location).url) == there
    except EngineError as error:
        assert error.message == there  # noqa: PT017


def test_a_redirect_leaves_the_allowlist_only_to_be_refused() -> None:
    policy = UrlPolicy(Security(url_allowlist=("example.com",)))
    with pytest.raises(EngineError, match=NOT_ALLOWED):
        policy.check_redirect(policy.check("https://example.com/"), "https://other.example/")
