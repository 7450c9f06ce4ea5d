"""A replay obeys what the ledger says of the galleries, as of everything else that depended on time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from stream.demo import gallery_clips
from stream.events import Detection, Message
from stream.gallery import Gallery
from stream.ledger import FrameLine, GalleryLine, read_lines
from stream.pipeline import Pipeline
from stream.replay import differences
from tests.stream.running import Playlist, make_gallery, replayed, run_pipeline

PATIENCE_S = 60.0


def glosses(messages: list[Message]) -> list[str]:
    return [message.gloss for message in messages if isinstance(message, Detection)]


def test_signs_on_both_sides_of_an_edit_of_the_gallery_repeat_to_the_bit(tmp_path: Path) -> None:
    gallery, run = make_gallery(tmp_path / "gallery"), tmp_path / "run"
    clips, edited = gallery_clips(), threading.Event()
    seen: list[Message] = []
    before: list[str] = []

    def signs() -> Iterator[Path]:
        yield clips["HELLO"]
        edited.wait(PATIENCE_S)
        yield clips["HELLO"]
        yield clips["THANKS"]

    def edit(pipeline: Pipeline) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not glosses(seen) and time.monotonic() < end_s:
            time.sleep(0.02)
        before.extend(glosses(seen))
        Gallery.load(gallery).without("HELLO").save()
        time.sleep(0.6)  # the folder is looked at twice a second
        edited.set()
        assert pipeline.wait(PATIENCE_S)

    playlist = Playlist(signs(), realtime=False)
    run_pipeline(playlist, gallery=gallery, record=run, meanwhile=edit, messages=seen)
    lines = list(read_lines(run))
    swap = next(number for number, line in enumerate(lines) if isinstance(line, GalleryLine))
    assert any(isinstance(line, FrameLine) and line.connection == 0 for line in lines[:swap])
    assert any(isinstance(line, FrameLine) and line.connection == 2 for line in lines[swap:])
    after = glosses(seen)[len(before) :]
    assert before == ["HELLO"]
    assert "HELLO" not in after, "it was signed again, but is in the gallery no more"
    assert after[-1] == "THANKS"
    assert list(differences(replayed(run), seen)) == []
