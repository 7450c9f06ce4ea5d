"""Teaching from a camera that shows nothing, or no longer anything, is said in words; nothing is written."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from calibration import recording
from calibration.recording import record_clip
from engines.errors import SourceUnreachable, SourceUnreadable
from stream.sources import open_source
from tests.stream.clips import write_still


def test_a_camera_that_shows_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "FIRST_FRAME_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and never answers
        camera = open_source(f"http://127.0.0.1:{silent.getsockname()[1]}/video", speed="realtime")
        with pytest.raises(SourceUnreachable, match=r"shows nothing.*signspot cameras"):
            record_clip(camera, tmp_path / "A-1.mp4", countdown_s=0, record_s=1, tell=lambda _: None)
    assert not (tmp_path / "A-1.mp4").exists()


def test_a_camera_that_ends_while_it_is_counted_down_is_told(tmp_path: Path) -> None:
    short = write_still(tmp_path / "short.mp4", np.full((120, 160, 3), 90, np.uint8), seconds=0.5)
    said: list[str] = []
    with pytest.raises(SourceUnreadable, match="ended before anything was recorded"):
        record_clip(
            open_source(str(short), speed="realtime"),
            tmp_path / "A-1.mp4",
            countdown_s=2,
            record_s=1,
            tell=said.append,
        )
    assert said == ["2", "1", "sign now"]
    assert not (tmp_path / "A-1.mp4").exists()
