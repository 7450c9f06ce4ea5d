"""What `--show` draws, checked at the pixels where it must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.landmarks import PARTS, Landmarks
from stream.drawing import BACKGROUND, BODY, DIM, FOOTER_PX, GOOD, LEFT, PANEL_PX, RIGHT, WARNING, Image, draw
from stream.events import Degradation
from stream.lettering import letters, width_px, wrapped
from stream.spotting import Bar
from tests.stream.samples import detection, hypothesis, observation, status

BLUE = (10, 60, 200)


def video(width: int = 640, height: int = 480) -> NDArray[np.uint8]:
    return np.full((height, width, 3), BLUE, np.uint8)


def nobody(width: int = 640, height: int = 480) -> Landmarks:
    return Landmarks.absent(width, height, "test")


def signer() -> Landmarks:
    """Shoulders on one level, the left hand a ring on the picture's right, the right one on its left."""
    parts: dict[str, Any] = {name: np.full(shape, np.nan, np.float32) for name, shape in PARTS.items()}
    pose = np.zeros((33, 4), np.float32)
    pose[11] = (0.7, 0.5, 0, 1)
    pose[12] = (0.3, 0.5, 0, 1)
    parts["pose"] = pose
    angle = np.linspace(0, 2 * np.pi, 21)
    ring = np.stack([0.05 * np.cos(angle), 0.05 * np.sin(angle), 0 * angle], axis=1).astype(np.float32)
    parts["left_hand"] = ring + np.array([0.8, 0.3, 0], np.float32)
    parts["right_hand"] = ring + np.array([0.2, 0.3, 0], np.float32)
    return Landmarks(**parts, width=640, height=480, estimator="test")


def shows(picture: Image, colour: tuple[int, int, int]) -> int:
    """Number of pixels of just this colour."""
    return int((picture == colour).all(axis=2).sum())


def quiet(**changes: Any) -> Image:
    """A picture with nothing but the video and what is given."""
    fields: dict[str, Any] = {"bars": (), "detections": (), "status": None, "transcript": None}
    return draw(observation(video(), nobody(), **{**fields, **changes}))


def test_the_video_is_left_as_it_is_beside_panel_and_footer() -> None:
    image = video()
    picture = draw(observation(image, signer()))
    assert picture.shape == (480 + FOOTER_PX, 640 + PANEL_PX, 3)
    assert (image == BLUE).all(), "the frame belongs to others too"
    assert (quiet()[:480, :640] == BLUE).all()


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((320, 240), (640, 480)),  # too small for the text beside it
        ((1920, 1080), (960, 540)),  # needlessly large
        ((720, 1280), (405, 720)),  # a telephone held upright
        ((640, 480), (640, 480)),  # as it is
    ],
)
def test_any_size_of_video_is_brought_to_a_fitting_one(size: tuple[int, int], shown: tuple[int, int]) -> None:
    picture = draw(observation(video(*size), nobody(*size)))
    assert picture.shape == (shown[1] + FOOTER_PX, shown[0] + PANEL_PX, 3)


def test_the_skeleton_is_where_the_landmarks_are() -> None:
    picture = draw(observation(video(), signer(), detections=(), status=None))
    assert tuple(picture[240, 320]) == BODY, "between the shoulders"
    assert shows(picture[120:170, 470:560], LEFT) > 50, "the signer's left hand"
    assert shows(picture[120:170, 80:170], RIGHT) > 50
    assert shows(picture[120:170, 470:560], RIGHT) == 0


def test_what_is_hardly_visible_is_not_drawn() -> None:
    landmarks = signer()
    landmarks.pose[11, 3] = 0.2
    picture = draw(observation(video(), landmarks, detections=(), status=None))
    assert tuple(picture[240, 320]) == BLUE


@pytest.mark.parametrize(
    ("score", "colour"),
    [
        (0.75, GOOD),  # beyond the threshold
        (0.25, DIM),  # short of it
    ],
)
def test_a_bar_is_as_long_as_the_cosine_and_marks_the_threshold(
    score: float, colour: tuple[int, int, int]
) -> None:
    panel = quiet(bars=(Bar("HELLO", score, 0.5),))[60:76, 640:]
    track_px = PANEL_PX - 32
    mark = (panel == WARNING).all(axis=2).any(axis=0)
    assert np.flatnonzero(mark).mean() == pytest.approx(16 + 0.5 * track_px, abs=1)
    filled = (panel == colour).all(axis=2).sum(axis=0) >= 7  # of the bar's 8 rows
    assert np.flatnonzero(filled).min() == 16
    assert np.flatnonzero(filled).max() == pytest.approx(16 + score * track_px, abs=1)


@pytest.mark.parametrize("score", [-0.4, 1.0])
def test_a_bar_stays_in_its_track(score: float) -> None:
    panel = quiet(bars=(Bar("HELLO", score, 2.0),))[:, 640:]
    assert (panel[:, :14] == BACKGROUND).all()
    assert (panel[:, -14:] == BACKGROUND).all()


def test_a_caption_stands_then_fades_then_is_gone() -> None:
    """Tick 330 is stream second 13.2."""

    def ink(end_s: float) -> float:
        caption = quiet(detections=(detection(end_s=end_s),))[400:480, 16:300].astype(float)
        return float(np.abs(caption - np.array(BLUE)).sum())

    standing, fading = ink(13.0), ink(13.2 - 2.75)
    assert standing == pytest.approx(ink(12.0), rel=0.01)
    assert 0.4 < fading / standing < 0.6, "half-way through the fade"
    assert ink(9.0) == 0


def test_several_captions_stand_above_one_another() -> None:
    one = quiet(detections=(detection("HELLO"),))
    two = quiet(detections=(detection("FRIEND"), detection("HELLO")))
    lowest = slice(400, 480), slice(0, 640)
    np.testing.assert_array_equal(one[lowest], two[lowest])
    assert not np.array_equal(one[320:400, :640], two[320:400, :640])


def test_a_hint_lies_over_the_top_of_the_video_and_goes_when_all_is_well() -> None:
    hinted = quiet(status=status(view_hint="no hand is raised: signs are seen between hip and head"))
    assert np.abs(hinted[3, :640].astype(int) - WARNING).max() < 50
    assert (quiet(status=status())[:480, :640] == BLUE).all()


def test_trouble_with_the_source_and_lost_quality_are_told() -> None:
    plain = quiet(status=status())
    stalled = quiet(status=status(state="stalled", state_reason="no picture for 3 s"))
    assert not np.array_equal(stalled[:30, :640], plain[:30, :640])
    slow = Degradation(level=2, gives_up="pose every 80 ms", reason="3 frames dropped")
    reduced = quiet(status=status(degradation=slow))
    assert shows(reduced[420:480, 640:], WARNING) > 0
    assert (reduced[:480, :640] == BLUE).all()


def test_the_transcript_is_written_below() -> None:
    said = quiet(transcript=hypothesis("FRIEND HELLO"))[480:]
    assert not np.array_equal(said, quiet()[480:])
    longer = quiet(transcript=hypothesis("A " * 200 + "FRIEND HELLO"))[480:]
    assert (longer[:, -16:] == BACKGROUND).all(), "cut at the margin"


def test_before_anything_is_known_it_draws_the_video() -> None:
    draw(observation(video(16, 16), nobody(16, 16), bars=(), detections=(), status=None, transcript=None))


def test_long_and_foreign_names_stay_in_the_picture() -> None:
    name = "ΕΥΧΑΡΙΣΤΏ-MÜDE-ДОБРЫЙ-" * 8
    picture = quiet(bars=(Bar(name, 0.9, 0.5),), detections=(detection(name, end_s=13.0),), status=status())
    assert (picture[:480, -16:] == BACKGROUND).all()


def test_letters_outside_ascii_are_not_boxes() -> None:
    shapes = {letters(letter, 20).tobytes() for letter in "ÜΩДñ"}
    assert len(shapes) == 4
    assert letters("\U0010ffff", 20).tobytes() not in shapes


def test_words_wrap_at_the_width() -> None:
    lines = wrapped("step back or move the camera so that both hands can be seen", 200, 16)
    assert " ".join(lines) == "step back or move the camera so that both hands can be seen"
    assert all(width_px(line, 16) <= 200 for line in lines)
