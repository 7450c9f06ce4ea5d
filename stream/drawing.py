"""An observation as a picture: skeleton on the video, bars of the nearest signs, captions, state and latency."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.landmarks import Landmarks
from stream import wording
from stream.events import SourceState, Status
from stream.lettering import Colour, blend, fitted, width_px, wrapped, write
from stream.spotting import Bar
from stream.view import Observation

Image = NDArray[np.uint8]

BACKGROUND: Colour = (20, 22, 27)
RAISED: Colour = (36, 40, 48)
TEXT: Colour = (234, 236, 240)
DIM: Colour = (142, 149, 160)
GOOD: Colour = (88, 201, 133)
WARNING: Colour = (247, 186, 72)
BAD: Colour = (236, 92, 92)
BODY: Colour = (240, 240, 240)
LEFT: Colour = (72, 202, 232)
RIGHT: Colour = (255, 142, 84)
OUTLINE: Colour = (16, 16, 20)

STATE_COLOURS: dict[SourceState, Colour] = {
    "connecting": WARNING,
    "live": GOOD,
    "stalled": BAD,
    "reconnecting": WARNING,
    "ended": DIM,
}

SMALLEST_PX = 480  # height of the video: text would not fit beside less
LARGEST_PX = (960, 720)  # width and height: more costs time and shows no more
PANEL_PX = 300
FOOTER_PX = 78
MARGIN_PX = 16

BODY_LINES = (
    *((11, 12), (11, 23), (12, 24), (23, 24)),
    *((11, 13), (13, 15), (12, 14), (14, 16)),
)
HAND_LINES = (
    *((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21)),
    *((5, 9), (9, 13), (13, 17)),
)
FINGER_TIPS = (4, 8, 12, 16, 20)
VISIBLE = 0.5

CAPTION_S = 2.0
"""A caption stands this long after the sign was over, then fades."""
FADE_S = 1.5
CAPTIONS = 3
SPOTTED = 5


def draw(observation: Observation) -> Image:
    """Draw an observation.

    Depends on the observation alone: captions fade by stream time.

    Args:
        observation: what the pipeline has just seen; its frame is not changed.

    Returns:
        RGB, uint8 (H, W, 3): the video, enlarged or reduced to between 480 and 720 pixels of height where its
        width allows, a panel to its right and a footer below.
    """
    video = _scaled(observation.frame.image)
    height, width, _ = video.shape
    canvas = np.empty((height + FOOTER_PX, width + PANEL_PX, 3), np.uint8)
    canvas[:] = BACKGROUND
    picture = canvas[:height, :width]
    picture[:] = video
    _skeleton(picture, observation.tick.landmarks)
    _captions(picture, observation)
    if observation.status is not None:
        _notices(picture, observation.status)
    _panel(canvas[:height, width:], observation)
    _footer(canvas[height:], observation)
    return canvas


def _scaled(image: Image) -> Image:
    height, width, _ = image.shape
    scale = min(LARGEST_PX[0] / width, LARGEST_PX[1] / height, max(1.0, SMALLEST_PX / height))
    if scale == 1.0:
        return image
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def _skeleton(picture: Image, landmarks: Landmarks) -> None:
    """Body and hands, the hands in a colour of their own each: left and right are the signer's."""
    height, width, _ = picture.shape
    size = np.array([width, height], np.float32)
    line_px = max(round(height / 240), 1)
    if landmarks.has("pose"):
        seen = landmarks.pose[:, 3] >= VISIBLE
        lines = [(a, b) for a, b in BODY_LINES if seen[a] and seen[b]]
        _lines(picture, landmarks.pose[:, :2] * size, lines, BODY, line_px)
    for hand, colour in (("left_hand", LEFT), ("right_hand", RIGHT)):
        if landmarks.has(hand):
            points = getattr(landmarks, hand)[:, :2] * size
            _lines(picture, points, HAND_LINES, colour, line_px)
            _dots(picture, points, FINGER_TIPS, colour, line_px)


def _dots(
    picture: Image, points: NDArray[np.float32], which: Sequence[int], colour: Colour, line_px: int
) -> None:
    for ink, radius_px in ((OUTLINE, line_px + 2), (colour, line_px + 1)):
        for dot in which:
            cv2.circle(picture, _fixed(points[dot]), radius_px * 16, ink, -1, cv2.LINE_AA, 4)


def _lines(
    picture: Image,
    points: NDArray[np.float32],
    pairs: Sequence[tuple[int, int]],
    colour: Colour,
    line_px: int,
) -> None:
    """Lines with a dark outline, so that they show on any ground."""
    for ink, thickness_px in ((OUTLINE, line_px + 2), (colour, line_px)):
        for a, b in pairs:
            cv2.line(picture, _fixed(points[a]), _fixed(points[b]), ink, thickness_px, cv2.LINE_AA, 4)


def _fixed(point: NDArray[np.float32]) -> tuple[int, int]:
    """Sixteenths of a pixel, as OpenCV takes them with `shift=4`."""
    return round(float(point[0]) * 16), round(float(point[1]) * 16)


def _captions(picture: Image, observation: Observation) -> None:
    """The last signs, newest lowest, each fading when its time is over."""
    height, width, _ = picture.shape
    now_s = observation.tick.pts_s
    bottom = height - MARGIN_PX
    for detection in reversed(observation.detections[-CAPTIONS:]):
        opacity = min(1.0, 1.0 - (now_s - detection.end_s - CAPTION_S) / FADE_S)
        if opacity <= 0:
            break
        gloss = fitted(detection.gloss, width - 4 * MARGIN_PX, 30, bold=True)
        facts = f"{detection.confidence:.0%} sure, {detection.start_s:.2f} to {detection.end_s:.2f} s"
        wide = max(width_px(gloss, 30, bold=True), width_px(facts, 14)) + 2 * MARGIN_PX
        top = bottom - 66
        _shade(picture, (MARGIN_PX, top, wide, 66), OUTLINE, 0.66 * opacity)
        _shade(picture, (MARGIN_PX, top, 4, 66), GOOD, opacity)
        write(picture, gloss, (2 * MARGIN_PX, top + 6), 30, TEXT, bold=True, opacity=opacity)
        write(picture, facts, (2 * MARGIN_PX, top + 43), 14, TEXT, opacity=opacity)
        bottom = top - 8


def _notices(picture: Image, status: Status) -> None:
    """Strips across the top: what is wrong with the source, and what the signer can do."""
    notices: list[tuple[str, Colour]] = []
    if status.state != "live" or status.state_reason:
        colour = WARNING if status.state == "live" else STATE_COLOURS[status.state]
        notices.append((wording.state(status), colour))
    if status.view_hint:
        notices.append((status.view_hint, WARNING))
    top = 0
    width = picture.shape[1]
    for text, colour in notices:
        lines = wrapped(text, width - 2 * MARGIN_PX, 16)
        high = 22 * len(lines) + 14
        _shade(picture, (0, top, width, high), colour, 0.88)
        for row, line in enumerate(lines):
            write(picture, line, (MARGIN_PX, top + 7 + 22 * row), 16, OUTLINE)
        top += high + 2


def _panel(panel: Image, observation: Observation) -> None:
    """Right of the video: nearest signs with their thresholds, signs spotted, and what quality is given up."""
    height, width, _ = panel.shape
    inner = width - 2 * MARGIN_PX
    if observation.status is not None and observation.status.degradation.level:
        lines = wrapped(f"reduced quality, {wording.quality(observation.status)}", inner, 13)
        height -= 18 * len(lines) + 8
        for row, line in enumerate(lines):
            write(panel, line, (MARGIN_PX, height + 18 * row), 13, WARNING)
    write(panel, "NEAREST SIGNS", (MARGIN_PX, 14), 12, DIM, bold=True)
    top = 40
    if not observation.bars:
        known = observation.status.glosses if observation.status else 0
        text = "no sign near" if known else "no gallery: nothing to spot"
        write(panel, fitted(text, inner, 15), (MARGIN_PX, top), 15, DIM)
        top += 34
    for bar in observation.bars:
        if top + 40 > height:
            return
        _bar(panel, bar, top)
        top += 46
    top += 10
    if top + 50 > height or not observation.detections:
        return
    write(panel, "SPOTTED", (MARGIN_PX, top), 12, DIM, bold=True)
    top += 24
    for detection in reversed(observation.detections[-SPOTTED:]):
        if top + 24 > height:
            return
        when = f"{detection.start_s:.1f} s"
        when_px = width_px(when, 13)
        write(panel, fitted(detection.gloss, inner - when_px - 12, 15), (MARGIN_PX, top), 15, TEXT)
        write(panel, when, (width - MARGIN_PX - when_px, top + 2), 13, DIM)
        top += 24


def _bar(panel: Image, bar: Bar, top: int) -> None:
    """One sign: name, cosine, a bar from 0 to 1, and a mark at the cosine that it has to beat."""
    width = panel.shape[1] - 2 * MARGIN_PX
    beats = bar.score >= bar.threshold
    figure = f"{bar.score:.2f}"
    figure_px = width_px(figure, 14)
    ink = TEXT if beats else DIM
    gloss = fitted(bar.gloss, width - figure_px - 12, 15, beats)
    write(panel, gloss, (MARGIN_PX, top), 15, ink, bold=beats)
    write(panel, figure, (MARGIN_PX + width - figure_px, top + 1), 14, ink)
    track = (MARGIN_PX, top + 24, width, 8)
    _shade(panel, track, RAISED, 1.0)
    filled = round(width * min(max(bar.score, 0.0), 1.0))
    _shade(panel, (MARGIN_PX, top + 24, filled, 8), GOOD if beats else DIM, 1.0)
    mark = MARGIN_PX + round(width * min(max(bar.threshold, 0.0), 1.0))
    _shade(panel, (mark - 1, top + 20, 3, 16), WARNING, 1.0)


def _footer(footer: Image, observation: Observation) -> None:
    """Below the video: the running transcript, and state, rates and latency in one line."""
    width = footer.shape[1] - 2 * MARGIN_PX
    transcript = observation.transcript
    if transcript is not None and transcript.text:
        said = fitted(transcript.text, width, 20, bold=True, keep_end=True)
        ink = DIM if transcript.state == "final" else TEXT
        write(footer, said, (MARGIN_PX, 12), 20, ink, bold=True)
    status = observation.status
    if status is None:
        return
    colour = STATE_COLOURS[status.state]
    cv2.circle(footer, ((MARGIN_PX + 5) * 16, 57 * 16), 5 * 16, colour, -1, cv2.LINE_AA, 4)
    facts = f"{status.state}   {wording.rates(status)}   {wording.latency(status)}"
    write(footer, fitted(facts, width - 18, 13), (MARGIN_PX + 18, 49), 13, DIM)


def _shade(picture: Image, box: tuple[int, int, int, int], colour: Colour, share: float) -> None:
    """Mix a colour into the box (x, y, width, height)."""
    x, y, width, height = box
    blend(picture[max(y, 0) : y + height, max(x, 0) : x + width], np.array(colour), share)
