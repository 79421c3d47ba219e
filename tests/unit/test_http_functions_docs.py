"""What the documentation tells receivers to do works with what is sent."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iii_cluster.modules.http_functions.credentials import signature

PAGE = Path(__file__).parents[2] / "docs" / "modules" / "http-functions.md"


@pytest.fixture
def is_genuine() -> Callable[[str, dict[str, str], bytes], bool]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    found: Callable[[str, dict[str, str], bytes], bool] = names["is_genuine"]
    return found


def test_signatures_are_verified_as_documented(is_genuine: Callable[[str, dict[str, str], bytes], bool]) -> None:
    body, now = '{"ä":1}'.encode(), str(int(time.time()))
    headers = {"x-iii-timestamp": now, "x-iii-signature": signature(b"key", now, body)}
    assert is_genuine("key", headers, body)
    assert not is_genuine("other", headers, body)
    assert not is_genuine("key", headers, body + b" ")
    assert not is_genuine("key", {**headers, "x-iii-timestamp": str(int(now) - 1)}, body)
    assert not is_genuine("key", {}, body)
    old = str(int(now) - 301)
    assert not is_genuine("key", {"x-iii-timestamp": old, "x-iii-signature": signature(b"key", old, body)}, body)
