"""Training windows: what they show of a sign, and that deformed ones are what a camera could have seen.

A mistake here harms every encoder and shows nowhere but in its accuracy. So every window is compared with one that is
worked out another way: from mirrored landmarks, from the frame numbers that a track was made to spell, or by the live
path itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from calibration.training import augment
from calibration.training.augment import MOMENTS, POINTS, Augmentation, Rows, windows
from calibration.training.corpora import Corpus
from engines import joints, kinematics, skeleton
from engines.features import ANGLES, KEYPOINTS, Features
from engines.landmarks import Landmarks

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

OFF = Augmentation(*(0.0,) * len(Augmentation._fields))._replace(shortest=1.0, longest=1.0)
"""Nothing is deformed; a window shows the sign, half a frame more at either end."""
TICKS, FIRST, LAST = 60, 10, 50
"""Frames of a clip; its sign is from the second to before the third."""
KINDS = pytest.mark.parametrize("features", [KEYPOINTS, ANGLES], ids=["2d", "3d"])
TABLES = pytest.mark.parametrize("rows", [POINTS, MOMENTS], ids=["2d", "3d"])
HANDS = {
    KEYPOINTS.name: (range(7, 17), range(17, 27)),
    ANGLES.name: ((7, *range(9, 24)), (8, *range(24, 39))),
}
"""The left and the right hand's joints in the network's input."""
SHOULDERS, MIDDLE = 0.4, 0.6
"""Of `spelling`: width, and x of their middle."""


def signing(seed: int) -> list[Landmarks]:
    """A clip of somebody who moves, turns and bends both hands, neither alike."""
    rng = np.random.default_rng(seed)
    clip = []
    speed, phase, bend = rng.uniform(0.2, 0.5, 2), rng.uniform(0, 6, 2), rng.normal(0, 0.004, (2, 21, 3))
    spread = np.radians([-50, -20, 0, 20, 40])
    for tick in range(TICKS):
        seen = Landmarks.absent(640, 480, "by hand")
        seen.pose[:] = (0.5, 0.5, 0.0, 0.9)
        seen.pose[[0, 11, 12], :2] = (0.52, 0.25), (0.63, 0.46), (0.4, 0.45)
        seen.pose_world[:] = rng.normal(0, 0.3, (33, 3))
        for side, hand in enumerate((seen.left_hand, seen.right_hand)):
            at = speed[side] * tick + phase[side]
            curl = 0.5 + 0.4 * np.sin(at)
            hand[0] = 0.0
            for finger in range(5):
                for number, far in enumerate((0.05, 0.075, 0.09, 0.1)):
                    way = np.array([np.sin(spread[finger]), -np.cos(spread[finger]), -0.3 * number * curl])
                    hand[1 + 4 * finger + number] = far * way
            turn = Rotation.from_rotvec([0.4 * np.sin(at), 0.5 * np.cos(1.3 * at), 0.6 * np.sin(0.7 * at)])
            hand[:] = turn.apply(hand + bend[side])
            hand[:, :2] += (0.6, 0.55) if side == 0 else (0.42, 0.5)
            hand[:, :2] += 0.07 * np.sin(at), 0.09 * np.cos(1.2 * at)
            seen.pose[15 + side, :2] = hand[0, :2] + 0.01
        clip.append(seen)
    return clip


def in_a_mirror(seen: Landmarks) -> Landmarks:
    """What an estimator sees of a picture that is flipped: its left is its right."""
    order = list(range(33))
    for a, b in ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((left, left + 1) for left in range(11, 33, 2))):
        order[a], order[b] = b, a
    flip, sign = np.array([1, 0, 0], np.float32), np.array([-1, 1, 1], np.float32)
    pose = seen.pose[order].copy()
    pose[:, 0] = 1 - pose[:, 0]
    return replace(
        seen,
        pose=pose,
        pose_world=seen.pose_world[order] * sign,
        left_hand=flip + seen.right_hand * sign,
        right_hand=flip + seen.left_hand * sign,
    )


def of_tracks(tracks: Sequence[Array], features: Features, *, first: int = FIRST, last: int = LAST) -> Corpus:
    """A corpus of clips, each of a gloss of its own."""
    count = len(tracks)
    return Corpus(
        points=np.concatenate(tracks).astype(np.float32),
        offsets=np.cumsum([0, *(len(track) for track in tracks)]),
        spans=np.tile([first, last], (count, 1)),
        gloss=np.arange(count),
        signer=np.arange(count),
        form=np.zeros(count, np.int64),
        glosses=tuple(f"sign {number}" for number in range(count)),
        features=features.name,
    )


def of_clips(clips: Sequence[Sequence[Landmarks]], features: Features) -> Corpus:
    return of_tracks([np.stack([features.tick(seen) for seen in clip]) for clip in clips], features)


def both_hands(features: Features, count: int = 3) -> Corpus:
    return of_clips([signing(seed) for seed in range(count)], features)


def spelling(features: Features, clips: int = 1, *, slower: float = 1.0) -> Corpus:
    """Clips whose right hand's x tells the frame and the clip; the left one goes up, `slower` times as far."""
    tracks = []
    rows = MOMENTS if features is ANGLES else POINTS
    for clip in range(clips):
        track = np.full((TICKS, features.rows, 3), np.nan, np.float32)
        track[:, rows.nose] = (MIDDLE, 0.2, 1)
        track[:, rows.left_shoulder] = (MIDDLE + SHOULDERS / 2, 0.45, 1)
        track[:, rows.right_shoulder] = (MIDDLE - SHOULDERS / 2, 0.45, 1)
        frame = np.arange(TICKS)
        for first, x, y in (
            (rows.left_hand, np.full(TICKS, 0.8), 0.7 - 0.002 * slower * frame),
            (rows.right_hand, 0.3 + 0.002 * frame + 0.2 * clip, np.full(TICKS, 0.6)),
        ):
            shape = np.random.default_rng(first).normal(0, 0.04, (rows.hand, 3))
            track[:, first : first + rows.hand] = shape
            track[:, first, 2] = 0.08  # a solid hand's length
            track[:, first : first + rows.places, 0] += x[:, None] - shape[0, 0]
            track[:, first : first + rows.places, 1] += y[:, None] - shape[0, 1]
        tracks.append(track)
    return of_tracks(tracks, features)


def frames(made: Array, features: Features) -> Wide:
    """What the right hand spells in each of 16 instants (B, 16): frame number + 100 times the clip's."""
    # x relative to mid-shoulder in shoulder widths, of the right wrist
    place = made[:, 18, :, 8] if features is ANGLES else made[:, 2, :, 17]
    return (place.astype(np.float64) * SHOULDERS + MIDDLE - 0.3) / 0.002


def shown(made: Array, features: Features, side: int) -> Array:
    """(B, 16, joints of the hand) of the network's mask."""
    return np.asarray(made[:, features.present][..., list(HANDS[features.name][side])])


@numba.njit(cache=True)
def seeded(seed: int) -> None:
    """Seed numba's own generator, which numpy's seed does not reach."""
    np.random.seed(seed)


def track_of(corpus: Corpus, rows: Rows, clip: int = 0, ticks: int = TICKS) -> Wide:
    """A clip as the functions inside `windows` take it."""
    return corpus.clip(clip)[:ticks, :, : rows.columns].astype(np.float64)


def features_of(rows: Rows) -> Features:
    return ANGLES if rows.solid else KEYPOINTS


# --- mirror -------------------------------------------------------------------------------------------------------


@KINDS
def test_a_mirrored_window_is_what_the_live_path_makes_of_a_mirrored_picture(features: Features) -> None:
    clips = [signing(seed) for seed in range(3)]
    plain = of_clips(clips, features)
    flipped = of_clips([[in_a_mirror(seen) for seen in clip] for clip in clips], features)
    which = np.arange(60) % 3
    found = windows(plain, which, 4, OFF._replace(mirror=1.0))
    np.testing.assert_allclose(found, windows(flipped, which, 4, OFF), atol=2e-4)
    assert np.abs(found - windows(plain, which, 4, OFF)).max(axis=(1, 2, 3)).min() > 0.1


def test_a_mirrored_track_has_its_sides_swapped_and_x_the_other_way() -> None:
    track = np.random.default_rng(0).normal(size=(4, 27, 2))
    found = track.copy()
    augment._mirror(found, POINTS)
    order = [0, 2, 1, 4, 3, 6, 5, *range(17, 27), *range(7, 17)]
    np.testing.assert_array_equal(found, track[:, order] * [-1, 1])


def test_a_mirrored_solid_track_has_its_turns_about_y_and_z_the_other_way() -> None:
    track = np.random.default_rng(0).normal(size=(4, 48, 3))
    found = track.copy()
    augment._mirror(found, MOMENTS)
    expected = track[:, [*range(10), 11, 10, *range(30, 48), *range(12, 30)]]
    expected[:, 9:12] *= [-1, 1, 1]
    for hand in (12, 30):
        expected[:, hand] *= [-1, 1, 1]  # its place and length
        expected[:, hand + 1] *= [1, -1, -1]  # along the fingers: against them on the other side
        expected[:, hand + 2] *= [-1, 1, 1]  # out of the back
        expected[:, hand + 3 : hand + 18] *= [1, -1, -1]
    # the body's nine angles are no network's input and stay
    np.testing.assert_array_equal(found, expected)


@TABLES
def test_mirroring_twice_changes_nothing(rows: Rows) -> None:
    track = np.random.default_rng(0).normal(size=(4, features_of(rows).rows, rows.columns))
    track[1, rows.left_hand : rows.right_hand] = np.nan
    found = track.copy()
    for _ in range(2):
        augment._mirror(found, rows)
    np.testing.assert_array_equal(found, track)


@KINDS
def test_as_many_windows_are_mirrored_as_asked_for(features: Features) -> None:
    made, which = both_hands(features), np.arange(600) % 3
    plain, flipped = (windows(made, which, 5, OFF._replace(mirror=share)) for share in (0.0, 1.0))
    found = windows(made, which, 5, OFF._replace(mirror=0.35))
    as_plain = (found == plain).all(axis=(1, 2, 3))
    as_flipped = (found == flipped).all(axis=(1, 2, 3))
    assert (as_plain ^ as_flipped).all()
    assert as_flipped.mean() == pytest.approx(0.35, abs=0.06)  # three standard deviations of 600 draws


# --- hands that are lost ------------------------------------------------------------------------------------------


@KINDS
def test_lost_hands_are_not_in_the_networks_input(features: Features) -> None:
    made, which = both_hands(features), np.arange(60) % 3
    assert shown(windows(made, which, 6, OFF), features, 0).all()
    assert shown(windows(made, which, 6, OFF), features, 1).all()
    lost = windows(made, which, 6, OFF._replace(drop_hand=1.0))
    hands = [joint for side in HANDS[features.name] for joint in side]
    assert not lost[..., hands].any()
    if features is KEYPOINTS:
        assert lost[:, features.present][..., [0, 1, 2, 5, 6]].all()  # nose, shoulders, wrists: as they were


@KINDS
def test_each_hand_is_lost_as_often_as_asked_for(features: Features) -> None:
    made, which = both_hands(features), np.zeros(800, np.int64)
    found = windows(made, which, 7, OFF._replace(drop_hand=0.3))
    there = np.stack([shown(found, features, side).all(axis=(1, 2)) for side in (0, 1)])
    gone = np.stack([~shown(found, features, side).any(axis=(1, 2)) for side in (0, 1)])
    assert (there ^ gone).all()
    assert gone.mean(axis=1) == pytest.approx(0.3, abs=0.05)
    assert gone.all(axis=0).mean() == pytest.approx(0.09, abs=0.03)  # one without the other


@TABLES
def test_a_hand_loses_stretches_of_ticks_and_nothing_else_changes(rows: Rows) -> None:
    track = track_of(both_hands(features_of(rows)), rows)
    how = OFF._replace(drop_ticks=0.5)
    seeded(8)
    lost = []
    for _ in range(400):
        found = track.copy()
        augment._drop(found, rows, how)
        gone = np.isnan(found)
        np.testing.assert_array_equal(found[~gone], track[~gone])
        assert not gone[:, : rows.left_hand].any()
        for first in (rows.left_hand, rows.right_hand):
            hand = gone[:, first : first + rows.hand]
            assert (hand == hand[:, :1, :1]).all()  # all of it or none
            lost.append(hand[:, 0, 0])
    ticks = np.array(lost).sum(axis=1)
    # Stretches go on with a chance of one half, each of 1 to 15 of 60 ticks, the end cutting some short: none for
    # one half of the hands, and one alone for a quarter.
    assert (ticks == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert ((ticks > 0) & (ticks <= 15)).mean() > 0.25
    left, right = np.array(lost[::2]).any(axis=1), np.array(lost[1::2]).any(axis=1)
    assert (left & ~right).mean() == pytest.approx(0.25, abs=0.06)
    assert (right & ~left).mean() == pytest.approx(0.25, abs=0.06)
    runs = [len(run) for one in lost for run in "".join("x" if tick else " " for tick in one).split()]
    assert min(runs) == 1
    assert 10 <= np.percentile(runs, 90) <= 20


@KINDS
def test_the_hand_that_moves_less_is_lost(features: Features) -> None:
    which = np.zeros(50, np.int64)
    how = OFF._replace(drop_weak=1.0)
    for slower, lost in ((0.6, 0), (1.6, 1)):
        made = spelling(features, slower=slower)
        found, plain = windows(made, which, 9, how), windows(made, which, 9, OFF)
        assert not shown(found, features, lost).any()
        assert shown(found, features, 1 - lost).all()
        assert shown(plain, features, lost).all()
        # what the other hand's wrist does is the same (its place; its size is then in another unit)
        place = (2, 3) if features is KEYPOINTS else (18, 19)
        kept = list(HANDS[features.name][1 - lost])
        np.testing.assert_allclose(found[:, place][..., kept], plain[:, place][..., kept], atol=1e-6)


@KINDS
@pytest.mark.parametrize("slower", [0.8, 1.0, 1.3])
def test_two_hands_that_move_alike_are_both_kept(features: Features, slower: float) -> None:
    made, which = spelling(features, slower=slower), np.zeros(30, np.int64)
    found = windows(made, which, 9, OFF._replace(drop_weak=1.0))
    np.testing.assert_array_equal(found, windows(made, which, 9, OFF))


# --- hands at rest ------------------------------------------------------------------------------------------------


def at_rest(rows: Rows, *, below: float = 1.1, moves: float = 0.0, seen: int = TICKS) -> Corpus:
    """Clips by somebody twice as near as `spelling`'s: the left hand hangs, so many shoulder widths down.

    Args:
        rows: of which features.
        below: the shoulders, in their widths.
        moves: so many shoulder widths up and down again and again.
        seen: in so many ticks, the first.
    """
    features = features_of(rows)
    track = spelling(features).clip(0).copy()
    track[:, rows.left_shoulder, :2] = (1.0, 0.4)
    track[:, rows.right_shoulder, :2] = (0.2, 0.4)
    hand = slice(rows.left_hand, rows.left_hand + rows.places)
    way = np.stack([np.zeros(TICKS), moves * 0.8 * np.sin(np.arange(TICKS))], 1)
    wrist = track[:, rows.left_hand, None, :2].copy()
    track[:, hand, :2] += np.array([0.9, 0.4 + below * 0.8]) - wrist
    track[:, hand, :2] += way[:, None]
    track[seen:, rows.left_hand : rows.right_hand] = np.nan
    return of_tracks([track] * 4, features)


@TABLES
def test_a_hand_that_is_not_seen_is_put_where_another_signers_rests(rows: Rows) -> None:
    source = at_rest(rows)
    track = track_of(spelling(features_of(rows)), rows, ticks=20)
    track[:, rows.left_hand : rows.right_hand] = np.nan
    found = track.copy()
    seeded(10)
    augment._rest_hand(found, source.points, source.offsets, rows, OFF._replace(resting=1.0))
    others = [row for row in range(len(track[0])) if not rows.left_hand <= row < rows.right_hand]
    np.testing.assert_array_equal(found[:, others], track[:, others])
    # 0.3 of 0.8 wide shoulders aside of their middle and 1.1 widths down there; 0.4 wide, the left one at 0.45, here
    wrist = found[:, rows.left_hand]
    assert wrist[:, 0] == pytest.approx(MIDDLE + 0.3 / 0.8 * SHOULDERS, abs=1e-6)
    assert wrist[:, 1] == pytest.approx(0.45 + 1.1 * SHOULDERS, abs=1e-6)
    there = source.clip(0)[0, rows.left_hand : rows.right_hand, : rows.columns].astype(np.float64)
    if rows.solid:
        assert wrist[:, 2] == pytest.approx(0.08 / 2)  # half as near, half as long
        np.testing.assert_array_equal(found[:, rows.left_hand + 1 : rows.right_hand], [there[1:]] * 20)
    else:
        shape = found[:, rows.left_hand : rows.right_hand] - wrist[:, None]
        np.testing.assert_allclose(shape, [(there - there[0]) / 2] * 20, atol=1e-7)


@TABLES
def test_hands_that_are_seen_are_left_where_they_are(rows: Rows) -> None:
    source = at_rest(rows)
    track = track_of(spelling(features_of(rows)), rows, ticks=20)
    track[:19, rows.left_hand : rows.right_hand] = np.nan  # one tick is enough
    found = track.copy()
    seeded(11)
    for _ in range(20):
        augment._rest_hand(found, source.points, source.offsets, rows, OFF._replace(resting=1.0))
    np.testing.assert_array_equal(found, track)


@TABLES
@pytest.mark.parametrize(
    ("below", "moves", "seen"),
    [
        (0.8, 0.0, TICKS),  # a hand that is up
        (1.1, 0.15, TICKS),  # one that moves
        (1.1, 0.0, 4),  # one that is seen in too few ticks to tell
    ],
)
def test_a_hand_that_signs_is_no_resting_one(rows: Rows, below: float, moves: float, seen: int) -> None:
    source = at_rest(rows, below=below, moves=moves, seen=seen)
    track = track_of(spelling(features_of(rows)), rows, ticks=20)
    track[:, rows.left_hand : rows.right_hand] = np.nan
    found = track.copy()
    seeded(12)
    for _ in range(20):
        augment._rest_hand(found, source.points, source.offsets, rows, OFF._replace(resting=1.0))
    np.testing.assert_array_equal(found, track)


@KINDS
def test_windows_show_a_resting_hand_in_place_of_one_that_is_not_seen(features: Features) -> None:
    rows = MOMENTS if features is ANGLES else POINTS
    one_handed = spelling(features).clip(0).copy()
    one_handed[:, rows.left_hand : rows.right_hand] = np.nan
    made = of_tracks([one_handed, *(at_rest(rows).clip(clip) for clip in range(4))], features)
    which = np.zeros(200, np.int64)
    plain = windows(made, which, 13, OFF)
    found = windows(made, which, 13, OFF._replace(resting=0.5))
    there = shown(found, features, 0).all(axis=(1, 2))
    assert not shown(plain, features, 0).any()
    np.testing.assert_allclose(found[~there], plain[~there], atol=1e-5)
    assert there.mean() == pytest.approx(0.5, abs=0.11)
    np.testing.assert_allclose(frames(found, features), frames(plain, features), atol=1e-3)
    both = np.ones(50, np.int64)
    np.testing.assert_array_equal(
        windows(made, both, 13, OFF._replace(resting=1.0)), windows(made, both, 13, OFF)
    )


# --- time ---------------------------------------------------------------------------------------------------------


@KINDS
def test_a_whole_window_shows_the_sign_but_for_its_edges(features: Features) -> None:
    found = frames(
        windows(spelling(features), np.zeros(400, np.int64), 14, OFF._replace(whole=1.0)), features
    )
    n = LAST - FIRST
    begin, end = found[:, 0], found[:, -1]
    assert begin.min() == pytest.approx(FIRST, abs=0.1)
    assert begin.max() == pytest.approx(FIRST + 0.15 * n, abs=0.1)
    assert end.min() == pytest.approx(LAST - 1 - 0.15 * n, abs=0.1)
    assert end.max() == pytest.approx(LAST - 1, abs=0.1)
    assert abs(np.corrcoef(begin, end)[0, 1]) < 0.15  # each end by itself
    np.testing.assert_allclose(found, np.linspace(begin, end, 16, axis=1), atol=2e-3)  # evenly


@KINDS
@pytest.mark.parametrize(
    ("part", "jitter", "room"),
    [
        (0.5, 0.0, 0.25),  # any half of the sign
        (1.0, 0.0, 0.0),  # the sign
        (1.2, 0.0, 0.0),  # and what is around it
        (1.0, 0.2, 0.2),
        (0.5, 0.4, 0.4),
    ],
)
def test_a_window_shows_the_part_of_the_sign_that_is_asked_for(
    features: Features, part: float, jitter: float, room: float
) -> None:
    how = OFF._replace(shortest=part, longest=part, jitter=jitter)
    found = frames(windows(spelling(features), np.zeros(300, np.int64), 15, how), features)
    begin, end, n = found[:, 0], found[:, -1], LAST - FIRST
    np.testing.assert_allclose(end - begin, part * n, atol=2e-3)
    centre = (begin + end) / 2 - (FIRST + LAST - 1) / 2
    assert centre.min() == pytest.approx(-room * n, abs=0.3 if room else 2e-3)
    assert centre.max() == pytest.approx(room * n, abs=0.3 if room else 2e-3)


def test_windows_are_of_every_length_in_between() -> None:
    how = OFF._replace(shortest=0.5, longest=1.15)
    found = frames(windows(spelling(KEYPOINTS), np.zeros(2000, np.int64), 16, how), KEYPOINTS)
    part = (found[:, -1] - found[:, 0]) / (LAST - FIRST)
    assert (part.min(), part.max()) == (pytest.approx(0.5, abs=0.01), pytest.approx(1.15, abs=0.01))
    assert np.quantile(part, [0.25, 0.5, 0.75]) == pytest.approx([0.6625, 0.825, 0.9875], abs=0.03)


def test_a_warped_window_has_its_middle_early_or_late_and_its_ends_in_place() -> None:
    found = frames(
        windows(spelling(KEYPOINTS), np.zeros(300, np.int64), 17, OFF._replace(warp=0.12)), KEYPOINTS
    )
    assert found[:, 0] == pytest.approx(FIRST - 0.5, abs=2e-3)
    assert found[:, -1] == pytest.approx(LAST - 0.5, abs=2e-3)
    late = (found[:, 7:9].mean(axis=1) - (FIRST + LAST - 1) / 2) / (LAST - FIRST)
    assert (late.min(), late.max()) == (pytest.approx(-0.12, abs=0.01), pytest.approx(0.12, abs=0.01))
    assert (np.diff(found, axis=1) > 0).all()


def test_around_a_sign_another_one_goes_out_and_comes_in() -> None:
    # Two clips; a window half as long again as the sign, from frame -0.5 to 59.5. The other sign ends two frames
    # before ours and begins one after: 8.5 frames before its own last one, 49, and 8.5 after its first, 10.
    made = spelling(KEYPOINTS, clips=2)
    how = OFF._replace(shortest=1.5, longest=1.5)
    which = np.zeros(100, np.int64)
    alone = frames(windows(made, which, 18, how), KEYPOINTS)
    assert alone[:, 0] == pytest.approx(0, abs=2e-3)
    assert alone[:, -1] == pytest.approx(59, abs=2e-3)
    found = frames(windows(made, which, 18, how._replace(context=1.0)), KEYPOINTS)
    clip = np.round((found[:, 0] - 40.5) / 100)
    assert set(clip) == {0, 1}
    np.testing.assert_allclose(found[:, 0], 100 * clip + 40.5, atol=2e-3)
    np.testing.assert_allclose(found[:, -1], 100 * clip + 18.5, atol=2e-3)
    np.testing.assert_allclose(found[:, 7:9], alone[:, 7:9], atol=0.5)  # our own sign is what it was


def test_between_two_frames_is_their_mean_and_beside_a_missing_one_the_nearer() -> None:
    points = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3) ** 2
    points[[1, 3], 1] = np.nan
    row = np.empty((2, 3))
    lower, upper = points[2].astype(np.float64), points[3].astype(np.float64)
    augment._tick(points, 1, 4, 2.25, row)  # the clip is frames 1 to 3
    np.testing.assert_allclose(row[0], 0.75 * lower[0] + 0.25 * upper[0])
    np.testing.assert_array_equal(row[1], lower[1])
    augment._tick(points, 1, 4, 2.75, row)
    np.testing.assert_allclose(row[0], 0.25 * lower[0] + 0.75 * upper[0])
    assert np.isnan(row[1]).all()
    augment._tick(points, 1, 4, 1.25, row)
    assert np.isnan(row[1]).all()
    augment._tick(points, 1, 4, 1.75, row)
    np.testing.assert_array_equal(row[1], lower[1])
    for at, frame in ((0.5, 1), (0.9, 1), (3.0, 3), (3.5, 3)):  # half a frame to either side
        augment._tick(points, 1, 4, at, row)
        np.testing.assert_array_equal(row, points[frame])
    for at in (0.4, 3.6):  # other clips' frames
        augment._tick(points, 1, 4, at, row)
        assert np.isnan(row).all()


# --- the live path ------------------------------------------------------------------------------------------------


@KINDS
def test_a_window_that_is_not_deformed_is_what_the_live_path_makes_of_the_sign(features: Features) -> None:
    """Of the sign at 10 to 35 ticks: as many as it takes live, at as many paces."""
    made, which = both_hands(features), np.arange(240) % 3
    found = windows(made, which, 19, OFF)
    lengths = [length for length in range(10, 36) if length != 31]  # the same sixteen instants as of 16 ticks
    expected: list[list[Array]] = []
    for clip in range(3):
        points = made.clip(clip).astype(np.float64)
        expected.append([])
        for length in lengths:
            at = np.linspace(FIRST - 0.5, LAST - 0.5, length)
            low = np.floor(at).astype(int)
            share = (at - low)[:, None, None]
            track = (1 - share) * points[low] + share * points[low + 1]
            expected[-1].append(features.window_input(track.astype(np.float32)))
    off = np.array(
        [
            [np.abs(one - other).max() for other in expected[clip]]
            for one, clip in zip(found, which, strict=True)
        ]
    )
    nearest = np.sort(off, axis=1)
    assert nearest[:, 0].max() < 2e-5
    assert nearest[:, 1].min() > 1e-3
    assert {lengths[number] for number in off.argmin(axis=1)} == set(lengths)


@KINDS
def test_the_seed_decides_and_nothing_before_it(features: Features) -> None:
    made, which = both_hands(features), np.arange(20) % 3
    first = windows(made, which, 5, Augmentation())
    other = windows(made, which, 6, Augmentation())
    np.testing.assert_array_equal(windows(made, which, 5, Augmentation()), first)
    assert all((a != b).any() for a, b in zip(first, other, strict=True))
    np.testing.assert_array_equal(windows(made, which[:7], 5, Augmentation()), first[:7])
    assert np.isfinite(first).all()


# --- space --------------------------------------------------------------------------------------------------------


def test_a_camera_that_is_tilted_tilts_ways_and_palms_alike() -> None:
    made, which = both_hands(ANGLES), np.arange(60) % 3
    plain = windows(made, which, 20, OFF).astype(np.float64)
    tilted = windows(made, which, 20, OFF._replace(rotate_rad=0.5)).astype(np.float64)
    turns = []
    for before, after in zip(plain, tilted, strict=True):
        for wrist in (kinematics.LEFT_WRIST, kinematics.RIGHT_WRIST):
            a = before[20, :, wrist] + 1j * before[21, :, wrist]
            b = after[20, :, wrist] + 1j * after[21, :, wrist]
            turn = np.exp(1j * np.angle((b * a.conj()).sum()))
            np.testing.assert_allclose(b, turn * a, atol=1e-4)  # in the picture, whose y is down
            for axis in (6, 9):  # seen from the camera, whose y is up
                x, y, z = axis, axis + 1, axis + 2
                np.testing.assert_allclose(
                    after[x, :, wrist] + 1j * after[y, :, wrist],
                    turn.conjugate() * (before[x, :, wrist] + 1j * before[y, :, wrist]),
                    atol=1e-4,
                )
                np.testing.assert_allclose(after[z, :, wrist], before[z, :, wrist], atol=1e-5)
            turns.append(np.angle(turn))
    assert np.std(turns) == pytest.approx(0.5, abs=0.15)


def test_palms_stay_at_right_angles_whatever_the_camera_does() -> None:
    track = track_of(both_hands(ANGLES), MOMENTS)
    seeded(21)
    augment._deform(track, MOMENTS, Augmentation(drop_body=0.0))
    for first in (joints.LEFT_HAND, joints.RIGHT_HAND):
        along, back = track[:, first + joints.ALONG], track[:, first + joints.BACK]
        assert (along**2).sum(axis=1) == pytest.approx(1.0, abs=1e-6)
        assert (back**2).sum(axis=1) == pytest.approx(1.0, abs=1e-6)
        assert (along * back).sum(axis=1) == pytest.approx(0.0, abs=1e-6)


@KINDS
def test_a_nose_out_of_the_picture_takes_nothing_else_with_it(features: Features) -> None:
    rows = MOMENTS if features is ANGLES else POINTS
    whole = both_hands(features)
    points = whole.points.copy()
    points[:, rows.nose] = np.nan
    made, which = replace(whole, points=points), np.arange(30) % 3
    found = windows(made, which, 22, Augmentation())
    assert np.isfinite(found).all()
    if features is KEYPOINTS:
        plain = windows(made, which, 22, OFF)
        assert not plain[:, skeleton.PRESENT, :, skeleton.NOSE].any()
        assert plain[:, skeleton.PRESENT, :, skeleton.LEFT_SHOULDER].all()
