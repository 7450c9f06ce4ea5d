"""What several tests of streams need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stream.xserver import VirtualScreen, missing


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[VirtualScreen]:
    """An X server of its own."""
    if missing():
        pytest.skip(missing())
    with VirtualScreen(tmp_path) as screen:
        yield screen
