"""If these fail, begin and end of signs are told where the hands do anything but go over from one to the next."""

from __future__ import annotations

import numpy as np
import pytest

from engines.landmarks import PARTS, Landmarks
from stream.clock import Tick
from stream.gallery import Gallery, Sign
from stream.hands import KEPT, REACH, Hands
from stream.spotting import Scores, Spotter

WRISTS = (15, 16)
WIDTH, HEIGHT = 640, 480


def seen(
    left: tuple[float, float] | None, right: tuple[float, float] | None, *, hand: bool = False
) -> Landmarks:
    """Wrists at places of the picture, of the body or of the hand itself."""
    parts = {name: np.full(shape, np.nan, np.float32) for name, shape in PARTS.items()}
    for side, place in enumerate((left, right)):
        if place is None:
            continue
        if hand:
            parts[("left_hand", "right_hand")[side]][:] = (*place, 0)
        else:
            parts["pose"][WRISTS[side]] = (*place, 0, 1)
    return Landmarks(**parts, width=WIDTH, height=HEIGHT, estimator="test")  # type: ignore[arg-type]


def moving(*moves: tuple[int, int], ticks: int = 100, right: bool = True) -> list[tuple[float, float]]:
    """A hand that rests but for moves (first tick, last tick), each 0.2 of the height, fastest in its middle."""
    y = np.full(ticks, 0.8)
    for first, last in moves:
        u = np.clip((np.arange(ticks) - first) / (last - first), 0, 1)
        y -= 0.2 * (10 * u**3 - 15 * u**4 + 6 * u**5)
    return [(0.4 if right else 0.6, float(value)) for value in y]


def watched(places: list[tuple[float, float]], **how: bool) -> Hands:
    hands = Hands()
    for tick, place in enumerate(places):
        hands.push(tick, seen(None, place, **how))
    return hands


@pytest.mark.parametrize("hand", [False, True])
@pytest.mark.parametrize("off", [-5, -2, 0, 3, 5])
def test_an_edge_goes_to_the_middle_of_the_move_near_by(hand: bool, off: int) -> None:
    hands = watched(moving((20, 30), (60, 70)), hand=hand)  # fastest at 25 and 65
    begin, end = hands.settled(25 + off, 65 - off)
    assert (begin, end) == pytest.approx((25, 65), abs=max(1.0, 0.4 * abs(off))), "at least most of the way"


def test_an_edge_with_no_move_in_reach_stays() -> None:
    hands = watched(moving((20, 30), (60, 70)))
    begin, end = hands.settled(42.3, 65.0)
    assert begin == 42.3
    assert end == pytest.approx(65.0, abs=1)


def test_of_two_moves_the_nearer_one_counts_unless_the_farther_is_faster_by_more() -> None:
    hands = watched(moving((36, 42), (44, 50), (70, 76)))  # alike, at 39 and 47
    assert hands.settled(45.0, 73.0)[0] == pytest.approx(47, abs=1)
    assert hands.settled(41.0, 73.0)[0] == pytest.approx(39, abs=1)
    slow = [(0.4, 0.8 - 0.02 * min(max((t - 44) / 6, 0), 1) + (y - 0.8 if t < 44 else -0.2)) for t, (_, y) in
            enumerate(moving((36, 42)))]  # fmt: skip
    assert watched(slow).settled(44.0, 73.0)[0] == pytest.approx(39, abs=1)


def test_the_faster_hand_decides_and_one_that_is_not_seen_does_not() -> None:
    hands = Hands()
    for tick, (right, left) in enumerate(zip(moving((20, 30)), moving((50, 60), right=False), strict=True)):
        hands.push(tick, seen(left if tick > 40 else None, right))
    assert hands.settled(28.0, 52.0) == pytest.approx((25, 55), abs=1)


def test_a_hand_that_blurs_is_bridged() -> None:
    hands = Hands()
    for tick, place in enumerate(moving((20, 30), (60, 70))):
        hands.push(tick, seen(None, None if 23 <= tick <= 27 else place))
    assert hands.settled(22.0, 65.0)[0] == pytest.approx(25, abs=2)


def test_nobody_or_nothing_that_moves_leaves_all_as_it_is() -> None:
    assert Hands().settled(10.0, 20.0) == (10.0, 20.0)
    hands = Hands()
    for tick in range(40):
        hands.push(tick, Landmarks.absent(WIDTH, HEIGHT, "test"))
    assert hands.settled(10.0, 20.0) == (10.0, 20.0)
    assert watched([(0.4, 0.5)] * 40).settled(10.0, 20.0) == (10.0, 20.0)


def test_a_sign_is_not_settled_away() -> None:
    hands = watched(moving((20, 30)))
    assert hands.settled(22.0, 28.0) == (22.0, 28.0), "both would go to the one move"


def test_speed_is_in_picture_heights_and_0_beyond_what_is_known() -> None:
    hands = Hands()
    for tick in range(20):  # 0.01 of the width a tick
        hands.push(tick, seen(None, (0.2 + 0.01 * tick, 0.5)))
    speed = hands.speed(-5, 30)
    assert speed[12] == pytest.approx(0.01 * WIDTH / HEIGHT, rel=1e-4)
    assert speed[:3].tolist() == [0, 0, 0]
    assert speed[-3:].tolist() == [0, 0, 0]


def test_what_is_long_past_is_forgotten_but_by_who_keeps_all() -> None:
    short, whole = Hands(), Hands(kept=None)
    for tick, place in enumerate(moving((20, 30), ticks=KEPT + 100)):
        for hands in (short, whole):
            hands.push(tick, seen(None, place))
    assert short.speed(20, 30).max() == 0
    assert whole.speed(20, 30).max() > 0
    whole.reset()
    assert whole.speed(20, 30).max() == 0


def test_an_edge_moves_no_farther_than_its_reach() -> None:
    hands = watched(moving((20, 30), (60, 70)))
    for edge in np.arange(10.0, 40.0, 0.7):
        assert abs(hands.settled(edge, 65.0)[0] - edge) <= REACH


def test_what_the_spotter_tells_is_settled_and_ends_by_now() -> None:
    spotter = Spotter(Gallery(path=None, signs=(Sign(gloss="A", threshold=0.0),)))  # type: ignore[arg-type]
    told = []
    for index, place in enumerate(moving((20, 30), (52, 62))):  # fastest at 25 and 57
        near = max(-1.0, 6 - 0.7 * abs(index - 53))
        scores = Scores(
            spans=((index - 27, index),),
            cosine=np.zeros((1, 1), np.float32),
            normal=np.array([[near]], np.float32),
            spread=np.ones((1, 1), np.float32),
            per_encoder={},
        )
        tick = Tick(
            index=index, segment=0, landmarks=seen(None, place), interpolated=False, lost=False, captured_ns=0
        )
        told += [(index, one) for one in spotter.push(tick, scores)]
    ((at, one),) = told
    assert (one.start_s * 25, one.end_s * 25) == pytest.approx((25, 57), abs=1)
    assert one.end_s <= at / 25
