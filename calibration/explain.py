"""Why was a sign spotted in a clip, or not? The live path's own parts, with every refusal written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.encoders import Encoder
from engines.errors import SourceUnreadable
from engines.pose.base import PoseEstimator
from engines.ticks import TICK_S
from stream.clock import Tick
from stream.gallery import Gallery
from stream.sources import read_frames
from stream.spotting import LEAD, Refused, Scores, Similarity, Spotted, Spotter
from stream.stages import PoseStage
from stream.tracks import FULL_QUALITY
from stream.windows import WindowBuffer


@dataclass(frozen=True, slots=True)
class Verdict:
    """The best that one gloss reached in the clip, and what came of it."""

    gloss: str
    start_s: float  # of its best window
    end_s: float
    cosine: float  # fused
    needed: float  # the cosine that it had to beat there
    excess: float  # evidence above its threshold; negative below
    outcome: str  # in words


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known about one clip."""

    spotted: tuple[Spotted, ...]
    verdicts: tuple[Verdict, ...]  # the nearest glosses, best first
    curves: tuple[
        tuple[str, NDArray[np.float64]], ...
    ]  # gloss, excess at each tick by the window's middle; NaN
    hands_seen: float  # share of the ticks in which a hand was found
    person_seen: float  # share of the ticks in which a person was found


def explain(
    clip: Path,
    gallery: Gallery,
    encoders: Sequence[Encoder],
    estimator: PoseEstimator,
    *,
    gloss: str | None = None,
    nearest: int = 5,
) -> Explanation:
    """Play a clip through the live path and say of the nearest glosses what was decided, and why.

    Args:
        clip: a video.
        gallery: the signs.
        encoders: those in use.
        estimator: poses the frames.
        gloss: one to explain in any case.
        nearest: how many glosses to explain.

    Raises:
        SourceError: the clip cannot be read.
        GalleryMismatch: gallery and encoders do not fit.
    """
    similarity = Similarity(gallery, encoders)
    refused: list[Refused] = []
    spotter = Spotter(gallery, refused=refused.append)
    spotted: list[Spotted] = []
    scored: list[Scores] = []
    hands = persons = ticks = 0
    segment = -1
    for tick, scores in _scored(clip, encoders, estimator, similarity):
        if tick.segment != segment:
            spotted += spotter.flush()
            spotter.reset()
            segment = tick.segment
        spotted += spotter.push(tick, scores)
        scored.append(scores)
        ticks += 1
        hands += tick.landmarks.has("left_hand") or tick.landmarks.has("right_hand")
        persons += tick.landmarks.has("pose")
    spotted += spotter.flush()
    if not ticks:
        raise SourceUnreadable(f"{clip} has no picture that can be decoded: check that it plays elsewhere")
    best = _best(scored, spotter)
    order = sorted(best, key=lambda column: -best[column].excess)[:nearest]
    glosses = gallery.glosses
    if gloss is not None and glosses.index(gloss) not in order and glosses.index(gloss) in best:
        order.append(glosses.index(gloss))
    verdicts = [_verdict(glosses[column], best[column], spotted, refused) for column in order]
    curves = [(glosses[column], _curve(column, scored, spotter)) for column in order]
    return Explanation(tuple(spotted), tuple(verdicts), tuple(curves), hands / ticks, persons / ticks)


def _scored(
    clip: Path, encoders: Sequence[Encoder], estimator: PoseEstimator, similarity: Similarity
) -> Iterator[tuple[Tick, Scores]]:
    stage = PoseStage(estimator, pictures=any(encoder.pictures for encoder in encoders))
    buffers = {encoder.name: WindowBuffer(encoder.window_lengths) for encoder in encoders}
    for frame in read_frames(clip):
        for tick in stage.pose(frame) if stage.wants(frame, FULL_QUALITY) else ():
            windows = {}
            embeddings = {}
            for encoder in encoders:
                complete = buffers[encoder.name].push(tick, encoder.prepare(tick.landmarks))
                usable = [window for window in complete if not window.lost]
                if usable:
                    windows[encoder.name] = usable
                    embeddings[encoder.name] = encoder.embed([window.features for window in usable])
            yield tick, similarity.score(windows, embeddings)


@dataclass(frozen=True, slots=True)
class _Peak:
    span: tuple[int, int]
    cosine: float
    needed: float
    excess: float


def _best(scored: Sequence[Scores], spotter: Spotter) -> Mapping[int, _Peak]:
    """By gloss column, the window that came nearest to being spotted."""
    best: dict[int, _Peak] = {}
    for scores in scored:
        excess = spotter.excess(scores)
        for row, span in enumerate(scores.spans):
            for column in range(excess.shape[1]):
                value = float(excess[row, column])
                if column not in best or value > best[column].excess:
                    cosine = float(scores.cosine[row, column])
                    needed = cosine - value / (1 + LEAD) * float(scores.spread[row, column])
                    best[column] = _Peak(span, cosine, needed, value)
    return best


def _curve(column: int, scored: Sequence[Scores], spotter: Spotter) -> NDArray[np.float64]:
    last = max((span[1] for scores in scored for span in scores.spans), default=-1)
    curve = np.full(last + 1, np.nan)
    for scores in scored:
        excess = spotter.excess(scores)
        for row, (start, end) in enumerate(scores.spans):
            middle = (start + end) // 2
            curve[middle] = np.fmax(curve[middle], excess[row, column])
    return curve


def _verdict(gloss: str, peak: _Peak, spotted: Sequence[Spotted], refused: Sequence[Refused]) -> Verdict:
    start_s, end_s = peak.span[0] * TICK_S, (peak.span[1] + 1) * TICK_S
    told = [one for one in spotted if one.gloss == gloss]
    near = [one for one in refused if one.gloss == gloss]
    if told:
        times = ", ".join(f"{one.start_s:.2f}-{one.end_s:.2f} s" for one in told)
        outcome = f"spotted at {times}, confidence {max(one.confidence for one in told):.2f}"
    elif near:
        outcome = max(near, key=lambda one: one.excess).reason
    elif peak.excess > 0:
        outcome = "beats its threshold, but never longest or best"
    else:
        outcome = f"too little like the exemplar: {peak.cosine:.2f}, needs {peak.needed:.2f}"
    return Verdict(gloss, start_s, end_s, peak.cosine, peak.needed, peak.excess, outcome)
