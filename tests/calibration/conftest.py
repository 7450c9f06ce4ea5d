"""What several tests of evaluation share, since posing a clip takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.enrol import enrol_clips
from stream.demo import gallery_clips


@pytest.fixture(scope="session")
def hello_gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the demo's HELLO alone, to be read only."""
    gallery = tmp_path_factory.mktemp("hello") / "gallery"
    report = enrol_clips(gallery, [("HELLO", gallery_clips()["HELLO"])], processes=1)
    assert not report.failed, report.failed
    return gallery
