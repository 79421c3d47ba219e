"""Fixtures of several unit tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.stand_in import Stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A supervisor of stand-ins; all of them are ended."""
    stage = Stage(tmp_path)
    yield stage
    if not stage.stopped:
        await stage.stop()
