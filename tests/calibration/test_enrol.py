"""If these fail, a user cannot teach signs, or is not told why a clip was refused."""

from __future__ import annotations

import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

import stream.demo
from calibration.commands import enrol as enrol_command
from calibration.commands.enrol import _new_clip
from calibration.enrol import _posed, _start_worker, enrol_clips, named_clip, rebuild
from calibration.explain import _Peak, _verdict
from engines.bundle import ModelBundle
from engines.errors import GalleryMismatch
from engines.skeleton import CHANNELS
from run_stream import main
from stream.gallery import Gallery
from stream.spotting import Refused
from tests.engines.bundles import card, network
from tests.stream.clips import write_still


def write_video(path: Path, images: list[NDArray[np.uint8]]) -> Path:
    height, width, _ = images[0].shape
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for image in images:
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder: what is tested here does not depend on what it has learnt."""
    folder = tmp_path_factory.mktemp("enrol")
    ModelBundle.write(folder / "encoder", model=network(CHANNELS), card=card())
    return folder


@pytest.fixture(scope="module")
def clips(folder: Path) -> dict[str, Path]:
    """Two clips of a signer, and three that no sign can be learnt from."""
    from skimage.data import astronaut

    good = sorted(stream.demo.gallery_clips().items())[:2]
    portrait = np.ascontiguousarray(astronaut())  # type: ignore[no-untyped-call]
    black = np.zeros((480, 640, 3), np.uint8)
    garbage = folder / "garbage.mp4"
    garbage.write_bytes(b"no video " * 500)
    return {
        **dict(good),
        "portrait": write_video(folder / "portrait.mp4", [portrait] * 12),
        "black": write_video(folder / "black.mp4", [black] * 12),
        "garbage": garbage,
    }


@pytest.fixture(scope="module")
def enrolled(folder: Path, clips: dict[str, Path]) -> Path:
    """The gallery that the command makes of all five, with its exit status and output beside it."""
    console = folder / "console.txt"
    words = [f"{gloss}={clip}" for gloss, clip in clips.items()]
    with console.open("w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(enrol_command, "Console", lambda: Console(file=file, width=400))
        status = main(
            ["enrol", "--gallery", str(folder / "gallery"), "--encoder", str(folder / "encoder"), *words]
        )
    (folder / "status.txt").write_text(str(status))
    return folder / "gallery"


def test_the_good_clips_are_learnt_and_the_bad_ones_named(
    folder: Path, clips: dict[str, Path], enrolled: Path
) -> None:
    text = (folder / "console.txt").read_text()
    good = sorted(clips)[:2]
    assert list(Gallery.load(enrolled).glosses) == good
    assert "2 of 5 clips enrolled" in text
    for gloss in good:
        assert f"{gloss}: kept" in text
    for name, reason in (
        ("portrait.mp4", "no hand is raised"),
        ("black.mp4", "a person is seen in 0%"),
        ("garbage.mp4", "garbage.mp4"),
    ):
        assert any(name in line and reason in line for line in text.splitlines() if "✗" in line), name
    assert (folder / "status.txt").read_text() == "1"


def test_a_take_says_where_it_is_from(clips: dict[str, Path], enrolled: Path) -> None:
    gallery = Gallery.load(enrolled)
    take = gallery.takes[0]
    assert take.clip == clips[take.gloss].name
    assert take.estimator.startswith("holistic")
    track = gallery.landmarks(take)
    assert 0 <= take.first_tick < take.last_tick <= len(track)
    assert gallery.signs[0].impostors.keys() == {"slgcn2d"}


def test_a_second_clip_of_a_gloss_is_one_more_exemplar_and_the_same_clip_is_not(
    folder: Path, clips: dict[str, Path], enrolled: Path, tmp_path: Path
) -> None:
    (first, clip), (_, other) = sorted(clips.items())[:2]
    encoders = (str(folder / "encoder"),)
    enrol_clips(tmp_path / "g", [(first, clip)], encoders=encoders, processes=1)
    alone = Gallery.load(tmp_path / "g")
    enrol_clips(tmp_path / "g", [(first, clip), (first, other)], encoders=encoders)
    both = Gallery.load(tmp_path / "g")
    assert both.glosses == (first,)
    assert [take.clip for take in both.takes] == [clip.name, other.name]
    assert np.array_equal(both.exemplars["slgcn2d"].vectors[:1], alone.exemplars["slgcn2d"].vectors)


def test_another_clip_of_the_same_file_name_is_one_more_exemplar(
    folder: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    (first, clip), (_, other) = sorted(clips.items())[:2]
    namesake = tmp_path / clip.name
    shutil.copy(other, namesake)
    for path in (clip, namesake):
        enrol_clips(tmp_path / "g", [(first, path)], encoders=(str(folder / "encoder"),), processes=1)
    assert len(Gallery.load(tmp_path / "g").takes) == 2


def test_a_sign_removed_while_another_is_enrolled_stays_removed(
    folder: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    (first, clip), (second, other) = sorted(clips.items())[:2]
    encoders = (str(folder / "encoder"),)
    enrol_clips(tmp_path / "g", [(first, clip)], encoders=encoders, processes=1)

    removed: list[str] = []

    def meanwhile(_: str, share: float) -> None:
        if share == 1.0 and not removed:  # the clip is posed, the gallery not yet replaced
            removed.append(first)
            Gallery.load(tmp_path / "g").without([first]).save()

    enrol_clips(tmp_path / "g", [(second, other)], encoders=encoders, processes=1, progress=meanwhile)
    assert Gallery.load(tmp_path / "g").glosses == (second,)


def test_after_the_encoder_has_changed_no_clips_are_needed(
    folder: Path, clips: dict[str, Path], enrolled: Path
) -> None:
    before = Gallery.load(enrolled).exemplars["slgcn2d"]
    ModelBundle.write(folder / "newer", model=network(CHANNELS, seed=1), card=card())
    gloss, clip = sorted(clips.items())[0]
    with pytest.raises(GalleryMismatch, match="signspot gallery rebuild"):
        enrol_clips(enrolled, [(gloss, clip)], encoders=(str(folder / "newer"),))
    rebuild(enrolled, encoders=(str(folder / "newer"),))
    newer = Gallery.load(enrolled).exemplars["slgcn2d"]
    assert newer.fingerprint != before.fingerprint
    assert not np.allclose(newer.vectors, before.vectors)
    rebuild(enrolled, encoders=(str(folder / "encoder"),))
    assert np.array_equal(Gallery.load(enrolled).exemplars["slgcn2d"].vectors, before.vectors)


def test_signs_are_listed_shown_and_removed(
    enrolled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = Gallery.load(enrolled).glosses
    assert main(["gallery", "list", "--gallery", str(enrolled)]) == 0
    assert first in capsys.readouterr().out
    picture = tmp_path / "strip.png"
    assert main(["gallery", "show", first, "--gallery", str(enrolled), "--output", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["gallery", "remove", "NOSUCH", "--gallery", str(enrolled)]) == 1
    assert "has no NOSUCH" in capsys.readouterr().err
    gallery = Gallery.load(enrolled)
    assert main(["gallery", "remove", second, "--gallery", str(enrolled)]) == 0
    assert Gallery.load(enrolled).glosses == (first,)
    gallery.save()


def test_a_clip_is_explained_in_words_and_as_a_picture(
    folder: Path, clips: dict[str, Path], enrolled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gloss, clip = sorted(clips.items())[0]
    picture = tmp_path / "why.png"
    words = ["--gallery", str(enrolled), "--encoder", str(folder / "encoder"), "--gloss", gloss]
    assert main(["explain", str(clip), *words, "--output", str(picture)]) == 0
    text = capsys.readouterr().out
    assert gloss in text
    assert "threshold" in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["explain", str(clip), *words[:-1], "NOSUCH"]) == 1
    assert "has no 'NOSUCH'" in capsys.readouterr().err


def test_a_sign_is_taught_from_the_camera(
    folder: Path, clips: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = sorted(clips.items())[0][1]  # a file played at its own pace
    words = ["--source", str(camera), "--gloss", "HELLO", "--countdown", "0", "--seconds", "3"]
    gallery = ["--gallery", str(tmp_path / "g"), "--encoder", str(folder / "encoder")]
    assert main(["enrol", *gallery, *words]) == 0
    text = capsys.readouterr().out
    assert "sign now" in text
    assert "HELLO: kept" in text
    assert (tmp_path / "g" / "clips" / "HELLO-1.mp4").stat().st_size > 0
    assert (tmp_path / "g" / "clips" / "HELLO-1.png").read_bytes().startswith(b"\x89PNG")
    assert Gallery.load(tmp_path / "g").glosses == ("HELLO",)


def test_a_recording_takes_no_number_that_a_clip_or_a_take_has(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("HELLO-2.mp4", "[A]-1.mp4", "A-1.mp4"):
        (clips / name).write_bytes(b"")
    assert _new_clip(tmp_path, "HELLO").name == "HELLO-1.mp4"
    (clips / "HELLO-1.mp4").write_bytes(b"")
    assert _new_clip(tmp_path, "HELLO").name == "HELLO-3.mp4"
    assert _new_clip(tmp_path, "[A]").name == "[A]-2.mp4"
    assert _new_clip(tmp_path, "*").name == "*-1.mp4"


def test_the_countdown_runs_and_a_take_of_nobody_is_kept_but_not_enrolled(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = write_still(tmp_path / "black.mp4", np.zeros((120, 160, 3), np.uint8), seconds=5)
    words = ["--source", str(camera), "--gloss", "NOBODY", "--countdown", "1", "--seconds", "1"]
    gallery = ["--gallery", str(tmp_path / "g"), "--encoder", str(folder / "encoder")]
    assert main(["enrol", *gallery, *words]) == 1
    text = capsys.readouterr().out
    assert "  1\n  sign now\n" in text, "it was counted down"
    assert "a person is seen in 0% of it" in " ".join(text.split())
    assert (tmp_path / "g" / "clips" / "NOBODY-1.mp4").stat().st_size > 0
    assert not (tmp_path / "g" / "gallery.json").exists()


def test_why_nothing_was_spotted_is_said(
    folder: Path, clips: dict[str, Path], enrolled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = Gallery.load(enrolled)
    (first, clip), (second, _) = sorted(clips.items())[:2]
    alone = replace(gallery.without([first]), path=tmp_path / "without")
    alone.save()
    encoder = ["--encoder", str(folder / "encoder"), "--output", str(tmp_path / "why.png")]
    assert main(["explain", str(clip), "--gallery", str(alone.path), *encoder]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert second in text
    black = write_still(tmp_path / "black.mp4", np.zeros((120, 160, 3), np.uint8), seconds=2)
    assert main(["explain", str(black), "--gallery", str(enrolled), *encoder]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "nothing was spotted" in text
    assert "a person is seen in only 0% of it" in text
    assert main(["explain", str(clips["portrait"]), "--gallery", str(enrolled), *encoder]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "a hand is seen in only 0% of it" in text
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(b"no video" * 100)
    assert main(["explain", str(garbage), "--gallery", str(enrolled), *encoder]) == 1
    assert "garbage.mp4" in capsys.readouterr().err
    assert main(["explain", str(tmp_path / "none.mp4"), "--gallery", str(enrolled), *encoder]) == 1
    assert "none.mp4" in capsys.readouterr().err
    assert main(["explain", str(clip), "--gallery", str(tmp_path / "no-gallery"), *encoder]) == 1
    assert "there is no gallery at" in capsys.readouterr().err


def test_a_gloss_that_was_not_spotted_is_told_why() -> None:
    low = _Peak(span=(10, 23), cosine=0.31, needed=0.64, excess=-2.0)
    assert _verdict("A", low, [], []).outcome == "too little like the exemplar: 0.31, needs 0.64"
    high = replace(low, cosine=0.8, excess=1.5)
    refused = [
        Refused(gloss="A", span=(10, 23), excess=0.2, reason="a movement without a sign is nearer"),
        Refused(gloss="A", span=(40, 53), excess=1.5, reason="beaten by B"),
        Refused(gloss="C", span=(40, 53), excess=9.0, reason="beaten by D"),
    ]
    assert _verdict("A", high, [], refused).outcome == "beaten by B", "its own, and the nearest miss"
    assert _verdict("A", high, [], []).outcome == "beats its threshold, but never longest or best"


def test_glosses_with_brackets_are_printed_as_they_are(
    folder: Path, clips: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = sorted(clips.items())[0][1]
    gallery = ["--gallery", str(tmp_path / "g"), "--encoder", str(folder / "encoder")]
    assert main(["enrol", *gallery, f"[red]X={clip}"]) == 0
    assert "[red]X" in capsys.readouterr().out
    assert main(["explain", str(clip), *gallery, "--output", str(tmp_path / "why.png")]) == 0
    assert "[red]X" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either clips, or --source and --gloss"),
        (["--source", "0"], "needs both --source and --gloss"),
        (["clip.mp4", "--source", "0", "--gloss", "A"], "give either clips"),
        (["--source", "0", "--gloss", "A/B"], "cannot contain a slash"),
        (["--source", "0", "--gloss", "A", "--seconds", "-1"], "--seconds -1"),
        (["--source", "0", "--gloss", "A", "--countdown", "nan"], "--countdown nan"),
    ],
)
def test_options_that_make_no_sense_together(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enrol", "--gallery", str(tmp_path), *words]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "gloss", "clip"),
    [
        ("clips/thank-you.mp4", "thank-you", "clips/thank-you.mp4"),
        ("THANKS=clips/x.mp4", "THANKS", "clips/x.mp4"),
    ],
)
def test_the_gloss_is_the_stem_or_is_given(word: str, gloss: str, clip: str) -> None:
    assert named_clip(word) == (gloss, Path(clip))


def test_a_file_with_an_equals_sign_in_its_name_is_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b.mp4").touch()
    assert named_clip("a=b.mp4") == ("a=b", Path("a=b.mp4"))


def test_workers_whose_progress_nobody_reads_end_all_the_same(clips: dict[str, Path]) -> None:
    # More messages than a pipe holds (64 KiB): a worker that waits for them to be read would never end.
    many = [(gloss, clip) for gloss, clip in sorted(clips.items())[:2]]
    told = multiprocessing.get_context("spawn").Queue()
    process = multiprocessing.get_context("spawn").Process(target=chatter, args=(told,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert len(list(_posed(many, 2, "holistic", False, None))) == 2


def chatter(told: Any) -> None:
    """A worker that tells more than anybody reads."""
    _start_worker("holistic", False, told)
    for number in range(20_000):
        told.put((number, 0.5))
