"""A rendered video must be reproducible, play at the performance's rate, and blur what moves only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

pytest.importorskip("anny", reason="the synthetic signer needs the package anny")

from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import body_of
from calibration.synthesis.lexicon import read_lexicon
from calibration.synthesis.motion import isolated
from calibration.synthesis.performance import Performance, Signer
from calibration.synthesis.render import Renderer, _context
from calibration.synthesis.video import pictures, write_video
from engines.errors import MissingExtra

WIDTH, HEIGHT = 256, 256
SIGNER = Signer.draw(104)


@pytest.fixture(scope="module", autouse=True)
def egl() -> None:
    try:
        _context()
    except MissingExtra as error:
        pytest.skip(f"no pictures can be rendered here: {error}")


@pytest.fixture(scope="module")
def hello() -> Performance:
    return isolated(SIGNER, read_lexicon()["HELLO"], seed=1)


@pytest.fixture(scope="module")
def look() -> Appearance:
    return Appearance.draw(13, body_of(SIGNER))


def test_the_same_performance_gives_the_same_bytes(
    hello: Performance, look: Appearance, tmp_path: Path
) -> None:
    counted: list[int] = []
    for name in ("one.mp4", "two.mp4"):
        write_video(
            hello, tmp_path / name, appearance=look, width=WIDTH, height=HEIGHT, progress=counted.append
        )
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    assert counted == 2 * list(range(1, len(hello) + 1))


def test_the_file_plays_every_frame_at_its_time(hello: Performance, look: Appearance, tmp_path: Path) -> None:
    path = tmp_path / "hello.mp4"
    write_video(hello, path, appearance=look, width=WIDTH, height=HEIGHT)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert (frames[0].width, frames[0].height, frames[0].format.name) == (WIDTH, HEIGHT, "yuv420p")
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(len(hello)) / 25, atol=1e-3)
    rendered = list(pictures(hello, look, WIDTH, HEIGHT))
    for number in (0, len(hello) // 2, len(hello) - 1):
        decoded = frames[number].to_ndarray(format="rgb24").astype(float)
        errors = [np.abs(decoded - picture).mean() for picture in rendered]
        assert errors[number] < 6  # of 255; camera noise and compression
        assert errors[number] <= min(errors) + 0.5


def test_the_fast_hand_is_blurred_and_the_still_body_is_not(hello: Performance, look: Appearance) -> None:
    clean = replace(look, noise=0.0)
    blurred = list(pictures(hello, clean, WIDTH, HEIGHT))
    renderer = Renderer(body_of(SIGNER), clean, WIDTH, HEIGHT)
    change = []
    for frame, picture in enumerate(blurred):
        face = {name: float(track[frame]) for name, track in hello.face.items()}
        sharp = renderer.frame(hello.rotations[frame], hello.joints[frame], face)
        change.append(float(np.abs(picture.astype(int) - sharp).mean()))
    wrists = [body_of(SIGNER).index(f"wrist.{side}") for side in "LR"]
    speed = np.linalg.norm(np.diff(hello.joints[:, wrists], axis=0), axis=-1).max(1)
    fastest, slowest = int(np.argmax(speed)), int(np.argmin(speed))
    assert change[fastest] > 3 * change[slowest]
    assert change[-1] == 0  # nothing comes after the last frame
