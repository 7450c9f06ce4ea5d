"""If these fail, signs are reported twice, late, at the wrong time, or under the wrong gloss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import GalleryMismatch
from engines.landmarks import Landmarks
from engines.runtime.base import Placement
from stream.clock import Tick
from stream.gallery import Exemplars, Gallery, Impostors, Sign, Take
from stream.spotting import LEAD, Refused, Scores, Similarity, Spotted, Spotter
from stream.stages import SpottingStage
from stream.tracks import FULL_QUALITY
from stream.windows import Window

Floats = NDArray[np.float32]
NOBODY = Landmarks.absent(640, 480, "test")
GLOSSES = ("EAT", "FOOD", "HELLO", "YES")
LENGTHS = (12, 16, 22)
THRESHOLD = 2.0 * (1 + LEAD)  # a lone gloss beats it from two deviations on


class FakeEncoder:
    """An encoder of which only name and fingerprint matter here."""

    dimension = 2
    window_lengths = (16,)
    model_sha256 = "beef"
    pictures = False
    fusion_weight = 1.0

    def __init__(self, name: str, fingerprint: str = "f00d") -> None:
        self.name = name
        self.fingerprint = fingerprint

    def where(self) -> Placement:
        return Placement("cpu", "none", "float32", "a test")

    def prepare(self, landmarks: Landmarks) -> Floats:
        return np.zeros(1, np.float32)

    def embed(self, windows: Sequence[Floats]) -> Floats:
        return np.zeros((len(windows), 2), np.float32)


def take(gloss: str) -> Take:
    return Take(
        gloss=gloss,
        clip=f"{gloss}.mp4",
        first_tick=0,
        last_tick=16,
        estimator="test",
        enrolled_utc="2026-11-24T12:00:00+00:00",
        landmarks="none",
    )


def exemplars(angles_deg: Sequence[float], takes: Sequence[int], fingerprint: str = "f00d") -> Exemplars:
    radians = np.deg2rad(angles_deg)
    vectors = np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)
    return Exemplars(fingerprint, vectors, np.array(takes, np.int32), np.full(len(takes), 16, np.int32))


def window(end: int, length: int = 16) -> Window:
    return Window(end - length + 1, end, np.zeros((length, 1), np.float32), False)


# -- similarity --------------------------------------------------------------------------------------------------


def two_signs(encoders: dict[str, Exemplars]) -> Gallery:
    impostors = {name: Impostors(mean=0.5, deviation=0.25) for name in encoders}
    return Gallery(
        path=Path("/signs"),
        signs=(
            Sign(gloss="HELLO", threshold=1.0, impostors=impostors),
            Sign(gloss="YES", threshold=1.0, impostors=impostors),
        ),
        takes=(take("YES"), take("HELLO"), take("YES")),
        exemplars=encoders,
    )


def test_a_gloss_is_as_near_as_its_nearest_exemplar() -> None:
    gallery = two_signs({"a": exemplars([0, 90, 60], [0, 1, 2])})
    scores = Similarity(gallery, [FakeEncoder("a")]).score(
        {"a": [window(20)]}, {"a": np.array([[1, 0]], np.float32)}
    )
    assert scores.spans == ((5, 20),)
    assert scores.cosine[0] == pytest.approx([0.0, 1.0], abs=1e-6)  # HELLO at 90 degrees, YES at 0 and 60
    assert scores.normal[0] == pytest.approx([-2.0, 2.0], abs=1e-5)  # (cosine - 0.5) / 0.25


def test_encoders_are_fused_and_a_missing_one_is_left_out() -> None:
    gallery = two_signs({"a": exemplars([0, 90], [0, 1]), "b": exemplars([60, 90], [0, 1])})
    both = [FakeEncoder("a"), FakeEncoder("b")]
    towards_0 = np.array([[1, 0]], np.float32)
    similarity = Similarity(gallery, both, weights={"a": 3.0, "b": 1.0})
    fused = similarity.score({"a": [window(20)], "b": [window(20)]}, {"a": towards_0, "b": towards_0})
    assert fused.cosine[0, 1] == pytest.approx((3 * 1.0 + 1 * 0.5) / 4)
    assert fused.per_encoder["b"][0, 1] == pytest.approx(0.5)
    alone = similarity.score({"b": [window(20)]}, {"b": towards_0})  # a was skipped on this tick
    assert alone.cosine[0, 1] == pytest.approx(0.5)
    assert np.isnan(alone.per_encoder["a"][0, 1])
    assert Similarity(gallery, both[:1]).score({"a": [window(20)]}, {"a": towards_0}).cosine[0, 1] == 1.0
    assert similarity.score({}, {}).spans == ()


def test_an_encoder_that_the_gallery_lacks_costs_nothing_unless_someone_else_uses_it() -> None:
    gallery = two_signs({"a": exemplars([0, 90], [0, 1])})
    for shared, runs in (((), {"a"}), (("b",), {"a", "b"})):
        stage = SpottingStage([FakeEncoder("a"), FakeEncoder("b")], gallery, shared=shared)
        for index in range(16):
            tick = Tick(
                index=index, segment=0, landmarks=NOBODY, interpolated=False, lost=False, captured_ns=0
            )
            outcome = stage.push(tick, FULL_QUALITY)
        assert outcome.work_ms.keys() & {"a", "b"} == runs
        assert {name for name, _ in outcome.embeddings} == set(shared)


def test_an_encoder_of_pictures_speaks_for_the_windows_nearest_in_length() -> None:
    gallery = two_signs({"a": exemplars([0, 90], [0, 1]), "rgb": exemplars([60, 90], [0, 1])})
    looking = FakeEncoder("rgb")
    looking.pictures = True
    similarity = Similarity(gallery, [FakeEncoder("a"), looking], weights={"a": 1.0, "rgb": 1.0})
    rows = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    windows = [window(20, 12), window(20, 20), window(20, 40)]
    scores = similarity.score({"a": windows, "rgb": [window(20, 16)]}, {"a": rows, "rgb": rows[:1]})
    assert scores.spans == ((-19, 20), (1, 20), (9, 20))  # none of its own length
    assert scores.per_encoder["rgb"][:, 1] == pytest.approx([np.nan, 0.5, 0.5], nan_ok=True)
    assert scores.cosine[:, 1] == pytest.approx([1.0, 0.75, 0.75])
    lost = similarity.score({"a": windows[:1], "rgb": [window(20)]}, {"a": rows[:1], "rgb": 0 * rows[:1]})
    assert lost.cosine[0, 1] == pytest.approx(1.0)  # without a picture of the signer the others decide
    alone = Similarity(gallery, [looking]).score({"rgb": [window(20)]}, {"rgb": rows[:1]})
    assert alone.spans == ((5, 20),)


@pytest.mark.parametrize(
    "encoders",
    [
        [FakeEncoder("a", "beef")],  # other weights
        [FakeEncoder("c")],  # nothing in common
    ],
)
def test_exemplars_of_another_encoder_are_refused_with_the_remedy(encoders: list[FakeEncoder]) -> None:
    gallery = two_signs({"a": exemplars([0, 90], [0, 1])})
    with pytest.raises(GalleryMismatch, match="signspot gallery rebuild --gallery /signs"):
        Similarity(gallery, encoders)


def test_scores_do_not_depend_on_what_else_is_scored() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, 64)).astype(np.float32)
    gallery = two_signs(
        {"a": Exemplars("f00d", vectors, np.arange(3, dtype=np.int32), np.full(3, 16, np.int32))}
    )
    similarity = Similarity(gallery, [FakeEncoder("a")])
    rows = rng.normal(size=(4, 64)).astype(np.float32)
    windows = [window(40, length) for length in (10, 14, 20, 28)]
    together = similarity.score({"a": windows}, {"a": rows})
    for index in range(4):
        alone = similarity.score({"a": windows[index : index + 1]}, {"a": rows[index : index + 1]})
        place = together.spans.index(alone.spans[0])
        assert np.array_equal(together.normal[place], alone.normal[0])


# -- the online decision -----------------------------------------------------------------------------------------


def gallery_of(kin: bool = False) -> Gallery:
    kin_of = {"EAT": ["FOOD"], "FOOD": ["EAT"]} if kin else {}
    signs = tuple(Sign(gloss=gloss, threshold=THRESHOLD, kin=kin_of.get(gloss, [])) for gloss in GLOSSES)
    return Gallery(path=Path("/signs"), signs=signs)


def play(
    signed: Sequence[tuple[str, int, int, float]],
    *,
    ticks: int = 150,
    stride: int = 1,
    kin: bool = False,
    refused: list[Refused] | None = None,
) -> list[tuple[int, Spotted]]:
    """Signs (gloss, first tick, last tick, height) through a spotter whose windows score by their overlap.

    Returns:
        (tick at which it was told, what was told).
    """
    spotter = Spotter(gallery_of(kin), refused=refused.append if refused is not None else None)
    told: list[tuple[int, Spotted]] = []
    for index in range(ticks):
        spans = tuple(
            (index - length + 1, index)
            for length in LENGTHS
            if index - length + 1 >= 0 and index % stride == 0
        )
        normal = np.zeros((len(spans), len(GLOSSES)), np.float32)
        for row, (start, end) in enumerate(spans):
            for gloss, first, last, height in signed:
                shared = max(0, min(end, last) - max(start, first) + 1)
                overlap = shared / (max(end, last) - min(start, first) + 1)
                column = GLOSSES.index(gloss)
                normal[row, column] = max(normal[row, column], height * overlap)
        scores = Scores(spans, normal / 10, normal, np.full_like(normal, 0.1), {})
        tick = Tick(index=index, segment=0, landmarks=NOBODY, interpolated=False, lost=False, captured_ns=0)
        told += [(index, one) for one in spotter.push(tick, scores)]
    return told + [(ticks, one) for one in spotter.flush()]


def test_each_sign_is_told_once_soon_and_where_it_was() -> None:
    told = play([("HELLO", 30, 45, 6.0), ("YES", 60, 81, 6.0)])
    assert [one.gloss for _, one in told] == ["HELLO", "YES"]
    for (at, one), (first, last) in zip(told, [(30, 45), (60, 81)], strict=True):
        assert one.start_s == pytest.approx(first / 25, abs=0.12)
        assert one.end_s == pytest.approx((last + 1) / 25, abs=0.12)
        assert at - last <= 15  # 0.6 s
        assert one.newest_tick == at
        assert 0.5 < one.confidence < 1
        assert one.start_s < one.peak_s < one.end_s


def test_what_stays_below_its_threshold_is_not_told() -> None:
    assert play([("HELLO", 30, 45, 1.9)]) == []


def test_the_same_sign_twice_is_told_twice() -> None:
    told = play([("HELLO", 30, 45, 6.0), ("HELLO", 55, 70, 5.0)])
    assert [one.gloss for _, one in told] == ["HELLO", "HELLO"]


def test_the_better_gloss_wins_and_the_other_is_the_runner_up() -> None:
    refused: list[Refused] = []
    told = play([("HELLO", 30, 45, 6.0), ("YES", 30, 45, 4.5)], refused=refused)
    assert [one.gloss for _, one in told] == ["HELLO"]
    runner_up = told[0][1].runner_up
    assert runner_up is not None
    assert runner_up[0] == "YES"
    assert runner_up[1] == pytest.approx(0.45)
    assert "beaten by HELLO" in {one.reason for one in refused if one.gloss == "YES"}


def test_signs_that_are_nearly_one_do_not_block_each_other() -> None:
    told = play([("EAT", 30, 45, 6.0), ("FOOD", 30, 45, 5.95)], kin=True)
    assert [one.gloss for _, one in told] == ["EAT"]


def test_a_sign_that_is_still_open_at_the_end_is_told_then() -> None:
    told = play([("HELLO", 30, 45, 6.0)], ticks=47)
    assert [(at, one.gloss) for at, one in told] == [(47, "HELLO")]


def test_a_coarser_stride_finds_the_same_sign() -> None:
    told = play([("HELLO", 30, 45, 6.0)], stride=4)
    assert [one.gloss for _, one in told] == ["HELLO"]
    assert told[0][1].start_s == pytest.approx(30 / 25, abs=0.16)


def test_nothing_survives_a_reset() -> None:
    spotter = Spotter(gallery_of())
    normal = np.array([[0, 0, 5, 0]], np.float32)
    scores = Scores(((0, 15),), normal / 10, normal, np.full_like(normal, 0.1), {})
    tick = Tick(index=15, segment=0, landmarks=NOBODY, interpolated=False, lost=False, captured_ns=0)
    assert spotter.push(tick, scores) == []
    assert spotter.bars()[0].gloss == "HELLO"
    assert spotter.bars()[0].score == pytest.approx(0.5)
    assert spotter.bars()[0].threshold == pytest.approx(0.2)  # three deviations of 0.1 below
    spotter.reset()
    assert spotter.bars() == ()
    assert spotter.flush() == []


def push_once(margin: float | None, refused: list[Refused]) -> list[Spotted]:
    """One window that is well above HELLO's threshold, and by how much it is nearer to HELLO than to idling."""
    spotter = Spotter(gallery_of(), refused=refused.append)
    normal = np.array([[0, 0, 5, 0]], np.float32)
    above = None if margin is None else np.full_like(normal, margin)
    scores = Scores(((0, 15),), normal / 10, normal, np.full_like(normal, 0.1), {}, above)
    tick = Tick(index=15, segment=0, landmarks=NOBODY, interpolated=False, lost=False, captured_ns=0)
    return [*spotter.push(tick, scores), *spotter.flush()]


def test_what_is_nearer_to_idling_than_to_the_sign_is_not_told_and_says_why() -> None:
    refused: list[Refused] = []
    assert push_once(-0.05, refused) == []
    assert [(one.gloss, one.span, one.reason) for one in refused] == [
        ("HELLO", (0, 15), "a movement without a sign is nearer")
    ]


@pytest.mark.parametrize("margin", [0.05, None])  # nearer to the sign; nothing is known of idling
def test_other_signs_are_told(margin: float | None) -> None:
    refused: list[Refused] = []
    assert [one.gloss for one in push_once(margin, refused)] == ["HELLO"]
    assert refused == []


def test_the_margin_is_the_fused_cosine_above_the_nearest_idle_movement() -> None:
    first, second = FakeEncoder("slgcn2d"), FakeEncoder("slgcn3d")
    gallery = two_signs({"slgcn2d": exemplars([0, 90], [0, 1]), "slgcn3d": exemplars([0, 90], [0, 1])})
    embedding = np.array([[1.0, 0.0]], np.float32)  # on the first sign's exemplar
    seen = {"slgcn2d": [window(15)], "slgcn3d": [window(15)]}
    given = {"slgcn2d": embedding, "slgcn3d": embedding}
    assert Similarity(gallery, [first, second]).score(seen, given).margin is None
    first.idle = exemplars([60, 80], [0, 0]).vectors  # type: ignore[attr-defined]
    second.idle = exemplars([180, 90], [0, 0]).vectors  # type: ignore[attr-defined]
    weights = {"slgcn2d": 1.0, "slgcn3d": 0.5}
    found = Similarity(gallery, [first, second], weights=weights).score(seen, given).margin
    assert found is not None
    # The second gloss is at cosine 1, the first at 0; idling is at cos 60 in 2D and at cos 90 in 3D.
    assert found[0] == pytest.approx([(-0.5 + 0.5 * 0.0) / 1.5, (0.5 + 0.5 * 1.0) / 1.5], abs=1e-6)
