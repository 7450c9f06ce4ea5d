"""The closed score, the ranks and the bounds, against cases worked out by hand and formulas of their own."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from calibration.evaluation.closed import THRESHOLDS, Counts, answer, answer_all, count, queries
from calibration.evaluation.playing import WindowScores
from calibration.evaluation.ranks import rank, top
from calibration.evaluation.rates import poisson_bounds
from calibration.evaluation.spotting import AnnotationsError, Sign, one_name, read_annotations
from engines.landmarks import Landmarks
from stream.clock import Tick
from stream.gallery import Gallery
from stream.gallery import Sign as GallerySign
from stream.spotting import Scores, Spotter

LSE = Path(__file__).parents[3] / "shared" / "data" / "lse_health" / "glosses.json.gz"


def windows(*rows: tuple[int, int, list[float]]) -> WindowScores:
    """(first tick, last tick, evidence of each gloss)."""
    return WindowScores(
        np.array([row[:2] for row in rows], np.int64).reshape(-1, 2),
        np.array([row[2] for row in rows], np.float32),
    )


def test_the_thresholds_are_the_challenges() -> None:
    assert len(THRESHOLDS) == 13
    assert (THRESHOLDS[0], THRESHOLDS[-1]) == (0.2, 0.8)


@pytest.mark.parametrize(
    ("start_s", "end_s", "hits"),
    [
        (1.0, 2.0, 13),  # the interval itself
        (1.0, 1.5, 7),  # IoU 0.5: meets 0.20 .. 0.50
        (1.5, 2.5, 3),  # IoU 1/3: meets 0.20, 0.25, 0.30
        (1.9, 2.9, 0),  # IoU 0.1 / 1.9
        (4.0, 5.0, 13),  # the gloss's other interval counts just as well
    ],
)
def test_an_answer_earns_the_thresholds_that_it_meets(start_s: float, end_s: float, hits: int) -> None:
    signs = [Sign("A", 1.0, 2.0), Sign("A", 4.0, 5.0)]
    found = count({"A": Sign("A", start_s, end_s)}, signs)
    assert found.hits == pytest.approx(hits / 13)
    assert found.false_alarms == found.misses == pytest.approx(1 - hits / 13)


def test_no_answer_is_a_miss_and_no_false_alarm() -> None:
    found = count({"B": Sign("B", 0.0, 1.0)}, [Sign("A", 0.0, 1.0), Sign("B", 0.0, 1.0)])
    assert (found.hits, found.false_alarms, found.misses) == pytest.approx((1.0, 0.0, 1.0))
    assert (found.precision, found.recall, found.f1) == pytest.approx((1.0, 0.5, 2 / 3))


def test_nothing_asked_and_nothing_answered_is_zero_not_an_error() -> None:
    assert (Counts().precision, Counts().recall, Counts().f1) == (0.0, 0.0, 0.0)


def test_glosses_that_are_one_sign_are_one_query() -> None:
    signs = [Sign("EAT", 0.0, 1.0), Sign("FOOD", 3.0, 4.0), Sign("A", 5.0, 6.0)]
    asked = queries(signs, same=[["EAT", "FOOD"]])
    assert {gloss: len(intervals) for gloss, intervals in asked.items()} == {"EAT": 2, "A": 1}


def test_the_answer_is_the_best_window_of_the_whole_video() -> None:
    heard = windows((0, 9, [1.0, 9.0]), (50, 59, [8.0, 0.0]), (100, 109, [2.0, 0.0]))
    found = answer(heard, [0], "A")
    assert (found.start_s, found.end_s) == pytest.approx((50 * 0.04, 60 * 0.04))


def test_windows_about_the_best_one_have_their_say_in_begin_and_end() -> None:
    # Of the same strength and one tick later. The middles of their say are at 1/4 and 3/4; the begin is at 0.4 of it,
    # so (0.4 - 0.25) / 0.5 = 0.3 ticks from the first to the second, the end as far from the second to the first.
    found = answer(windows((50, 59, [8.0]), (51, 60, [8.0])), [0], "A")
    assert (found.start_s, found.end_s) == pytest.approx((50.3 * 0.04, 60.7 * 0.04))
    # Weaker by the rules' `soften` (0.5): its weight is 1/e.
    share = 1 / (1 + math.exp(-1))
    found = answer(windows((50, 59, [8.0]), (51, 60, [7.5])), [0], "A")
    middles = share / 2, (share + 1) / 2
    begin, end = ((place - middles[0]) / (middles[1] - middles[0]) for place in (0.4, 0.6))
    assert (found.start_s, found.end_s) == pytest.approx(((50 + begin) * 0.04, (60 + end) * 0.04), abs=1e-6)
    # A weaker window that ends at the same tick has no say, and neither has one far away.
    found = answer(windows((50, 59, [8.0]), (46, 59, [7.9]), (10, 19, [7.9])), [0], "A")
    assert (found.start_s, found.end_s) == pytest.approx((50 * 0.04, 60 * 0.04))


def test_a_gloss_that_the_gallery_lacks_gets_no_answer() -> None:
    signs = [Sign("A", 0.0, 1.0), Sign("Z", 0.0, 1.0)]
    assert set(answer_all(windows((0, 9, [1.0])), ["A"], signs)) == {"A"}
    assert answer_all(windows(), ["A"], signs) == {}


def test_ranks_are_taken_over_the_windows_on_the_sign() -> None:
    heard = windows(
        (0, 9, [5.0, 1.0, 0.0]),  # 0.00 .. 0.40 s
        (2, 11, [1.0, 3.0, 2.0]),  # 0.08 .. 0.48 s: IoU with the sign 0.32 / 0.48
        (40, 49, [0.0, 9.0, 9.0]),  # elsewhere
    )
    glosses, sign = ["A", "B", "C"], Sign("A", 0.0, 0.4)
    assert rank(heard, glosses, sign).rank == 0
    assert rank(heard, glosses, Sign("C", 0.0, 0.4)).rank == 2  # behind A (5) and B (3)
    assert rank(heard, glosses, Sign("C", 0.0, 0.4), same=[["B", "C"]]).rank == 1  # B's 3 counts for it
    assert rank(heard, glosses, Sign("Z", 0.0, 0.4)).rank is None
    assert rank(heard, glosses, Sign("A", 3.0, 3.1)).rank is None  # no window is there
    far = Sign("B", 1.5, 2.6)  # its best window overlaps it by 0.4 / 1.1 only: that one is taken
    assert rank(heard, glosses, far).rank == 1  # C is just as near, and a tie does not count for the sign
    ranked = [rank(heard, glosses, Sign(gloss, 0.0, 0.4)) for gloss in "ABC"]
    assert (top(ranked, 1), top(ranked, 2), top(ranked, 5)) == pytest.approx((1 / 3, 2 / 3, 1.0))
    assert top([], 1) == 0.0


def test_poisson_bounds_are_garwoods() -> None:
    # Garwood's table: 0 events 0 .. 3.689, 4 events 1.090 .. 10.242, 10 events 4.795 .. 18.390
    assert poisson_bounds(0) == pytest.approx((0.0, 3.689), abs=1e-3)
    assert poisson_bounds(4) == pytest.approx((1.090, 10.242), abs=1e-3)
    assert poisson_bounds(10) == pytest.approx((4.795, 18.390), abs=1e-3)


def test_the_answer_is_what_the_live_path_would_report() -> None:
    # One gloss whose evidence rises and falls over windows of two lengths: the online decision and the answer agree.
    gallery = Gallery(path=Path("none"), signs=(GallerySign(gloss="A", threshold=0.0),))
    spotter = Spotter(gallery)
    spans: list[tuple[int, int]] = []
    excess, reported = [], []
    for index in range(60):
        near = [max(-1.0, 6 - 0.7 * abs(index - 30)), max(-1.0, 5.6 - 0.7 * abs(index - 32))]
        scores = Scores(
            spans=((index - 15, index), (index - 11, index)),
            cosine=np.zeros((2, 1), np.float32),
            normal=np.array(near, np.float32)[:, None],
            spread=np.ones((2, 1), np.float32),
            per_encoder={},
        )
        tick = Tick(
            index=index,
            segment=0,
            landmarks=Landmarks.absent(640, 480, "none"),
            interpolated=False,
            lost=False,
            captured_ns=0,
        )
        reported += spotter.push(tick, scores)
        spans += scores.spans
        excess.append(spotter.excess(scores))
    heard = WindowScores(np.array(spans), np.concatenate(excess))
    found = answer(heard, [0], "A")
    assert len(reported) == 1
    assert (found.start_s, found.end_s) == pytest.approx((reported[0].start_s, reported[0].end_s), abs=0.004)


def test_glosses_are_joined_over_groups_that_share_one() -> None:
    names = one_name([["EAT", "FOOD"], ["A", "B"], ["FOOD", "MEAL"], []])
    assert names["EAT"] == names["FOOD"] == names["MEAL"] != names["A"] == names["B"]
    assert "C" not in names


@pytest.mark.parametrize("times", [(2.0, 2.0), (2.0, 1.0), (-0.1, 1.0), (0.0, float("inf"))])
def test_annotated_times_that_cannot_be_are_named(tmp_path: Path, times: tuple[float, float]) -> None:
    sign = {"gloss": "A", "start_s": times[0], "end_s": times[1]}
    (tmp_path / "truth.json").write_text(json.dumps({"videos": {"clip.mp4": [sign]}}))
    with pytest.raises(AnnotationsError, match=r"'A' in clip\.mp4"):
        read_annotations(tmp_path / "truth.json")


@pytest.mark.skipif(
    not LSE.exists(), reason="LSE-Health's annotations (../shared/data/lse_health) are not here"
)
def test_centred_windows_on_real_signs_score_what_their_lengths_say() -> None:
    """A window of 0.64 s, centred on that interval of its gloss whose length is nearest to its own.

    Whatever the window's place, IoU is at most the shorter length over the longer, and centred it is just that: so the
    best over all intervals of the gloss is known from lengths alone. Whole milliseconds and percent leave no rounding.
    """
    with gzip.open(LSE) as file:
        videos = json.load(file)
    total, met, asked = Counts(), 0, 0
    percents = np.arange(20, 81, 5)
    for intervals in videos.values():
        by_gloss: dict[str, list[list[int]]] = {}
        for begin, end, gloss in intervals:
            by_gloss.setdefault(gloss, []).append([begin, end])
        answers = {}
        for gloss, rows in by_gloss.items():
            times = np.array(rows)
            lengths = times[:, 1] - times[:, 0]
            shorter, longer = np.minimum(lengths, 640), np.maximum(lengths, 640)
            best = int((shorter / longer).argmax())
            middle = times[best].mean() / 1000
            answers[gloss] = Sign(gloss, middle - 0.32, middle + 0.32)
            met += int((100 * shorter[best] >= percents * longer[best]).sum())
            asked += 1
        signs = [Sign(gloss, begin / 1000, end / 1000) for begin, end, gloss in intervals]
        total += count(answers, signs)
    assert (len(videos), asked) == (273, 7930)
    # One answer a query: precision, recall and F1 are all the share of thresholds met.
    assert total.f1 == pytest.approx(met / 13 / asked, abs=1e-12)
    assert total.precision == pytest.approx(total.recall)
