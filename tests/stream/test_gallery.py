"""If these fail, a user loses signs: to a crash, to an edit while running, or to exemplars of another encoder."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import GalleryError, GalleryNotFound, RecordingError
from engines.landmarks import PARTS, LandmarkTrack
from stream.gallery import (
    EXEMPLARS,
    INDEX,
    PENDING,
    Exemplars,
    Gallery,
    GalleryWatcher,
    Impostors,
    Sign,
    Take,
)
from stream.ledger import LedgerWriter


def unit(*rows: list[float]) -> NDArray[np.float32]:
    matrix = np.array(rows, np.float32)
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


def make_track(ticks: int = 20, seed: int = 0) -> LandmarkTrack:
    rng = np.random.default_rng(seed)
    parts = {name: rng.random((ticks, *shape)).astype(np.float32) for name, shape in PARTS.items()}
    parts["left_hand"][:] = np.nan
    return LandmarkTrack(**parts, width=640, height=480, estimator="test")  # type: ignore[arg-type]


def make_gallery(path: Path, glosses: tuple[str, ...] = ("HELLO", "YES"), threshold: float = 2.0) -> Gallery:
    gallery = Gallery(path=path)
    takes = tuple(
        Take(
            gloss=gloss,
            clip=f"{gloss}.mp4",
            first_tick=4,
            last_tick=16,
            estimator="test",
            enrolled_utc="2026-11-24T12:00:00+00:00",
            landmarks=gallery.keep_landmarks(make_track(seed=number)),
        )
        for number, gloss in enumerate(glosses)
    )
    signs = tuple(
        Sign(gloss=gloss, threshold=threshold, impostors={"slgcn2d": Impostors(mean=0.1, deviation=0.2)})
        for gloss in sorted(glosses)
    )
    rng = np.random.default_rng(1)
    exemplars = Exemplars(
        "f00d",
        unit(*rng.normal(size=(len(takes), 8)).tolist()),
        np.arange(len(takes), dtype=np.int32),
        np.full(len(takes), 12, np.int32),
    )
    return Gallery(path=path, signs=signs, takes=takes, exemplars={"slgcn2d": exemplars})


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = make_gallery(tmp_path / "g")
    saved.save()
    loaded = Gallery.load(tmp_path / "g")
    assert loaded.glosses == ("HELLO", "YES")
    assert loaded.signs == saved.signs
    assert loaded.takes == saved.takes
    assert loaded.exemplars["slgcn2d"].fingerprint == "f00d"
    for part in ("vectors", "takes", "ticks"):
        assert np.array_equal(
            getattr(loaded.exemplars["slgcn2d"], part), getattr(saved.exemplars["slgcn2d"], part)
        )
    track = loaded.landmarks(loaded.takes[1])
    for name in PARTS:
        assert np.array_equal(getattr(track, name), getattr(make_track(seed=1), name), equal_nan=True)


def test_a_gallery_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(GalleryNotFound, match="signspot enrol --gallery"):
            Gallery.load(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (INDEX, b"{", "gallery.json is damaged"),
        (INDEX, b'{"format": 1}', "gallery.json is damaged"),
        (EXEMPLARS, b"\x00" * 100, "signspot gallery rebuild"),
        (EXEMPLARS, None, "signspot gallery rebuild"),
    ],
)
def test_a_damaged_gallery_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    make_gallery(tmp_path / "g").save()
    if content is None:
        (tmp_path / "g" / name).unlink()
    else:
        (tmp_path / "g" / name).write_bytes(content)
    with pytest.raises(GalleryError, match=message) as caught:
        Gallery.load(tmp_path / "g")
    assert str(tmp_path / "g") in str(caught.value)


def test_a_gallery_of_a_later_format_is_not_misread(tmp_path: Path) -> None:
    make_gallery(tmp_path / "g").save()
    index = json.loads((tmp_path / "g" / INDEX).read_text())
    (tmp_path / "g" / INDEX).write_text(json.dumps({**index, "format": 2}))
    with pytest.raises(GalleryError, match="format 2"):
        Gallery.load(tmp_path / "g")


@pytest.mark.parametrize("survives", range(6))
def test_a_crash_at_any_step_leaves_a_whole_edition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    make_gallery(tmp_path / "g").save()
    bigger = make_gallery(tmp_path / "g", ("HELLO", "YES", "NO"))
    steps = 0

    def crash(*args: object, **kwargs: object) -> None:
        nonlocal steps
        steps += 1
        if steps > survives:
            raise KeyboardInterrupt
        real[steps_of[len(args)]](*args, **kwargs)  # type: ignore[operator]

    real = {"replace": os.replace, "fsync": os.fsync}
    steps_of = {1: "fsync", 2: "replace"}
    monkeypatch.setattr(os, "replace", crash)
    monkeypatch.setattr(os, "fsync", crash)
    with contextlib.suppress(KeyboardInterrupt):
        bigger.save()
    monkeypatch.undo()
    assert Gallery.load(tmp_path / "g").glosses in (("HELLO", "YES"), ("HELLO", "NO", "YES"))
    bigger.save()  # and the next save works
    assert Gallery.load(tmp_path / "g").glosses == ("HELLO", "NO", "YES")


def test_a_writer_killed_in_the_middle_leaves_a_whole_edition(tmp_path: Path) -> None:
    path = tmp_path / "g"
    make_gallery(path).save()
    script = (
        "import sys; from pathlib import Path; from tests.stream.test_gallery import make_gallery\n"
        "path = Path(sys.argv[1])\n"
        "small, big = make_gallery(path), make_gallery(path, ('HELLO', 'YES', 'NO'))\n"
        "print('ready', flush=True)\n"
        "while True:\n    big.save(); small.save()\n"
    )
    rng = np.random.default_rng(0)
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            until = time.monotonic() + 0.1 + 0.2 * rng.random()
            while time.monotonic() < until:
                assert len(Gallery.load(path).takes) in (2, 3)  # a reader never sees half of it
            writer.send_signal(signal.SIGKILL)
        assert Gallery.load(path).glosses in (("HELLO", "YES"), ("HELLO", "NO", "YES"))


def test_an_edit_is_taken_up_and_a_broken_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "g"
    make_gallery(path).save()
    watcher = GalleryWatcher(path, every_s=0.0)
    assert watcher.poll() is None

    make_gallery(path, ("HELLO", "YES", "NO")).save()
    edited = watcher.poll()
    assert edited is not None
    assert edited.glosses == ("HELLO", "NO", "YES")
    assert watcher.current is edited

    (path / INDEX).write_text('{"format": 1, "signs": [')
    assert watcher.poll() is None
    assert watcher.current is edited
    assert str(path / INDEX) in watcher.trouble

    make_gallery(path, ("YES",)).save()
    mended = watcher.poll()
    assert mended is not None
    assert mended.glosses == ("YES",)
    assert watcher.trouble == ""


def test_a_look_in_the_middle_of_an_edit_finds_no_new_edition(tmp_path: Path) -> None:
    path = tmp_path / "g"
    make_gallery(path).save()
    watcher = GalleryWatcher(path, every_s=0.0)
    in_use = watcher.current
    (path / PENDING).write_bytes(b"the exemplars of the next one")
    assert watcher.poll() is None
    (path / INDEX).write_bytes((path / INDEX).read_bytes())  # saved again as it was
    assert watcher.poll() is None
    assert watcher.current is in_use
    assert watcher.trouble == ""


def test_what_a_run_keeps_is_the_gallery_that_was_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "g"
    make_gallery(path).save()
    watcher = GalleryWatcher(path, every_s=0.0)
    ledger = LedgerWriter(tmp_path / "run")
    over = threading.Event()

    def edit() -> None:
        for number in itertools.count():
            make_gallery(path, ("HELLO", "YES", "NO")[: 1 + number % 3]).save()
            if over.wait(0.002):
                return

    editor = threading.Thread(target=edit)
    editor.start()
    kept: list[tuple[str, Gallery]] = []
    end_s = time.monotonic() + 20
    try:
        while len(kept) < 15 and time.monotonic() < end_s:
            if (edition := watcher.poll()) is not None:
                kept.append((ledger.keep_gallery(edition), edition))
    finally:
        over.set()
        editor.join()
        ledger.close()
    assert len(kept) == 15
    for name, edition in kept:
        assert Gallery.load(tmp_path / "run" / name).same_as(edition)
    for (_, one), (_, next_one) in itertools.pairwise(kept):
        assert not one.same_as(next_one)


def test_a_run_that_cannot_keep_the_gallery_says_so(tmp_path: Path) -> None:
    make_gallery(tmp_path / "g").save()
    ledger = LedgerWriter(tmp_path / "run")
    (tmp_path / "run" / "gallery-000").write_text("a file where the folder belongs")
    with pytest.raises(RecordingError, match="cannot record the run in"):
        ledger.keep_gallery(Gallery.load(tmp_path / "g"))
    ledger.close()


def test_a_run_keeps_a_gallery_without_landmarks_that_cannot_be_read(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path / "g")
    gallery.save()
    for take in gallery.takes:
        (gallery.path / take.landmarks).unlink(missing_ok=True)
        (gallery.path / take.landmarks).mkdir(
            parents=True, exist_ok=True
        )  # not even root reads a folder as a file
    ledger = LedgerWriter(tmp_path / "run")
    kept = tmp_path / "run" / ledger.keep_gallery(gallery)
    ledger.close()
    assert Gallery.load(kept).same_as(gallery)


def test_the_folder_is_looked_at_seldom(tmp_path: Path) -> None:
    make_gallery(tmp_path / "g").save()
    watcher = GalleryWatcher(tmp_path / "g", every_s=60.0)
    make_gallery(tmp_path / "g", ("YES",)).save()
    assert watcher.poll() is None


def test_removing_a_sign_keeps_the_others_whole(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path / "g", ("HELLO", "YES", "NO"))
    gallery.save()
    gallery.without(["YES"]).save()
    left = Gallery.load(tmp_path / "g")
    assert left.glosses == ("HELLO", "NO")
    assert [take.gloss for take in left.takes] == ["HELLO", "NO"]
    assert left.exemplars["slgcn2d"].takes.tolist() == [0, 1]
    assert np.array_equal(left.exemplars["slgcn2d"].vectors, gallery.exemplars["slgcn2d"].vectors[[0, 2]])
    assert len(list((tmp_path / "g" / "landmarks").iterdir())) == 2
    assert np.array_equal(left.landmarks(left.takes[1]).pose, make_track(seed=2).pose)


def test_a_gallery_emptied_in_use_is_taken_up_and_nothing_is_spotted_any_more(tmp_path: Path) -> None:
    saved = make_gallery(tmp_path / "g")
    saved.save()
    watcher = GalleryWatcher(saved.path, every_s=0.0)
    saved.without(list(saved.glosses)).save()
    edition = watcher.poll()
    assert edition is not None
    assert edition.glosses == ()
    assert watcher.trouble == ""
    with pytest.raises(GalleryNotFound, match="signspot enrol"):  # to begin with an empty one is a mistake
        Gallery.load(saved.path)
