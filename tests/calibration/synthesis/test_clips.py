"""Small pictures must show what the large ones show, where the true joints are, and be the same every time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny", reason="the synthetic signer needs the package anny")

from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import body_of
from calibration.synthesis.clips import PICTURES, SIDE, SIGNS_A_SCENE, Clips, make_clips, read_clips
from calibration.synthesis.landmarks import Camera, landmarks_of
from calibration.synthesis.lexicon import read_lexicon
from calibration.synthesis.motion import isolated
from calibration.synthesis.performance import Signer
from calibration.synthesis.raster import SmallRenderer
from calibration.synthesis.render import Renderer, _context
from calibration.synthesis.small_video import write_small_video
from engines.errors import ConfigError, MissingExtra
from run_stream import main
from stream.sources import read_frames

SIGNER = replace(Signer.draw(104), left_handed=False, rest="sides")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 signs, each by two bodies."""
    folder = tmp_path_factory.mktemp("clips") / "clips"
    words = ["synth", "clips", "--signs", "24", "--scenes", "2", "--bodies", "2", "--out", str(folder)]
    assert main(words) == 0
    return folder


@pytest.fixture(scope="module")
def clips(folder: Path) -> Clips:
    return read_clips(folder)


def test_every_sign_is_shown_by_both_bodies_and_what_is_between_too(clips: Clips) -> None:
    pairs = {(int(sign), int(body)) for sign, body in zip(clips.sign, clips.body, strict=True) if sign >= 0}
    assert pairs == {(sign, body) for sign in range(SIGNS_A_SCENE) for body in (0, 1)}
    assert (clips.sign < 0).sum() >= 2
    assert (np.diff(clips.ticks, axis=1) >= 0).all()
    signs = clips.sign >= 0
    assert (clips.stroke[signs, 0] > 0).all()
    assert (clips.stroke[signs, 1] <= clips.ticks[signs, -1] + 1).all()


def test_the_signers_nose_is_in_the_middle_and_hands_move(clips: Clips) -> None:
    for clip in range(0, len(clips), 9):
        pictures = clips.pictures(clip, range(PICTURES))
        assert pictures.shape == (PICTURES, SIDE, SIDE, 3)
        moved = np.abs(pictures[1:].astype(int) - pictures[:-1]).max(-1)
        if clips.sign[clip] >= 0:
            assert (moved > 40).sum() > 30  # pixels, over the clip: more than noise
    shoulders = clips.keypoints[:, :, 1, 0] - clips.keypoints[:, :, 2, 0]  # left is at the picture's right
    assert 0.2 < np.nanmedian(shoulders.astype(float)) < 0.4  # of the picture: a crop is 3.2 of them wide


def test_the_same_seed_gives_the_same_bytes_and_what_is_there_is_kept(folder: Path, tmp_path: Path) -> None:
    make_clips(tmp_path / "again", signs=24, scenes=1, bodies=1)
    one, two = read_clips(tmp_path / "again"), read_clips(folder)
    for a, b in zip(one.jpegs, two.jpegs, strict=False):
        np.testing.assert_array_equal(a, b)
    first = folder / "scene-00000.npz"
    before = first.stat().st_mtime_ns
    make_clips(folder, signs=24, scenes=1, bodies=2)
    assert first.stat().st_mtime_ns == before


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="signspot synth clips"):
        read_clips(tmp_path)
    (tmp_path / "scene-00000.npz").write_bytes(b"PK nothing")
    with pytest.raises(ConfigError, match=r"scene-00000\.npz is damaged.*make it again"):
        read_clips(tmp_path)


def test_the_small_renderer_shows_the_same_body_as_opengl() -> None:
    try:
        _context()
    except MissingExtra as error:
        pytest.skip(f"no pictures can be rendered here: {error}")
    body = body_of(SIGNER)
    camera = Camera(width=SIDE, height=SIDE)
    look = replace(Appearance.draw(13, body), camera=camera)
    hello = isolated(SIGNER, read_lexicon()["HELLO"], seed=1)
    frame = int((hello.signs[0].start_s + hello.signs[0].end_s) / 2 * hello.fps)
    focal = 0.5 / np.tan(camera.field_rad / 2)
    small = SmallRenderer(
        body, look, SIDE, lens=(camera.aside_m, camera.distance_m, camera.height_m, focal), shift=(0.0, 0.0)
    )
    drawn = small.frame(hello.rotations[frame], hello.joints[frame]).astype(int)
    large = Renderer(body, look, SIDE, SIDE).frame(hello.rotations[frame], hello.joints[frame]).astype(int)
    backdrop = look.background(SIDE, SIDE).astype(int)
    masks = [np.abs(picture - backdrop).max(-1) > 12 for picture in (drawn, large)]
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.93
    both = masks[0] & masks[1]
    assert np.abs(drawn - large)[both].mean() < 16  # colours, of 255
    # The hand is where the truth has it: taking it away would be seen there.
    wrist = landmarks_of(hello, camera).right_hand[frame, 9, :2] * SIDE
    column, row = (int(value) for value in wrist)
    assert both[row, column]


def test_a_small_video_shows_the_whole_performance_and_is_the_same_every_time(tmp_path: Path) -> None:
    performance = isolated(SIGNER, read_lexicon()["HELLO"], seed=1)
    told: list[int] = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_small_video(performance, tmp_path / f"{name}.mp4", side=64, seed=seed, progress=told.append)
    shown = np.stack([frame.image for frame in read_frames(tmp_path / "a.mp4")])
    assert shown.shape == (len(performance), 64, 64, 3)
    assert told == [*range(1, len(performance) + 1)] * 3
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert (tmp_path / "a.mp4").read_bytes() != (tmp_path / "c.mp4").read_bytes()
    signed = np.abs(shown.astype(int) - shown[0]).max(-1)  # from the first picture, which is at rest
    stroke = round(performance.signs[0].start_s * performance.fps)
    assert (signed[stroke] > 60).sum() > 2 * (signed[2] > 60).sum() + 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "c.mp4"]
