"""Joint angles against rotations that are known beforehand; what a wrong one costs is a sign mistaken for another."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from engines import kinematics
from engines.kinematics import (
    EDGES,
    JOINTS,
    LEFT_COLLAR,
    LEFT_ELBOW,
    LEFT_FINGERS,
    LEFT_SHOULDER,
    LEFT_WRIST,
    MIRRORED,
    NAMES,
    NECK,
    PARENTS,
    RIGHT_COLLAR,
    RIGHT_ELBOW,
    RIGHT_FINGERS,
    RIGHT_SHOULDER,
    RIGHT_WRIST,
    joint_angles,
)

Wide = NDArray[np.float64]
TO_MEDIAPIPE = np.array([1.0, -1.0, -1.0])
"""Our axes (x to the person's left, y up, z to the front) to MediaPipe's (x right, y down, z away), and back."""
SEEN = np.ones(33)


def t_pose() -> tuple[Wide, Wide, Wide]:
    """Body (33, 3) and hands (21, 3) in our axes: arms stretched out sideways, palms down, thumbs to the front."""
    body = np.full((33, 3), np.nan)
    for point, place in {
        11: (0.2, 0.5, 0), 12: (-0.2, 0.5, 0), 13: (0.5, 0.5, 0), 14: (-0.5, 0.5, 0), 15: (0.75, 0.5, 0),
        16: (-0.75, 0.5, 0), 23: (0.1, 0, 0), 24: (-0.1, 0, 0), 7: (0.08, 0.7, 0), 8: (-0.08, 0.7, 0),
        2: (0.03, 0.75, 0.1), 5: (-0.03, 0.75, 0.1), 9: (0.03, 0.65, 0.1), 10: (-0.03, 0.65, 0.1),
    }.items():  # fmt: skip
        body[point] = place
    hands = []
    for sign in (1.0, -1.0):
        hand = np.zeros((21, 3))
        for finger, beside in ((5, 0.03), (9, 0.0), (13, -0.02), (17, -0.04)):
            for number in range(4):
                hand[finger + number] = (sign * (0.08 + 0.03 * number), 0.0, beside)
        for number in range(4):  # the thumb, halfway between the fingers' way and the front
            hand[1 + number] = (sign * (0.02 + 0.02 * number), 0.0, 0.02 + 0.02 * number)
        hands.append(hand)
    return body, hands[0], hands[1]


def angles_of(body: Wide, left: Wide, right: Wide) -> NDArray[np.float32]:
    return joint_angles(body * TO_MEDIAPIPE, SEEN, left * TO_MEDIAPIPE, right * TO_MEDIAPIPE)


def moved(points: Wide, which: list[int], about: int, turn: tuple[float, float, float]) -> Wide:
    """The same points, some of them turned about one (degrees, as angle-axis)."""
    out = points.copy()
    rotation = Rotation.from_rotvec(np.radians(turn))
    out[which] = rotation.apply(points[which] - points[about]) + points[about]
    return out


def test_every_joint_of_the_t_pose_is_zero() -> None:
    assert np.abs(angles_of(*t_pose())).max() < 1e-6


@pytest.mark.parametrize(
    ("which", "about", "turn", "joint"),
    [
        ([15], 13, (0, -90, 0), LEFT_ELBOW),  # the left forearm swings to the front about the vertical
        ([16], 14, (0, 90, 0), RIGHT_ELBOW),  # the right one the other way round
        ([15], 13, (0, -30, 0), LEFT_ELBOW),
        ([2, 5, 7, 8, 9, 10], 11, (0, 40, 0), NECK),  # the head turns to its left
        ([2, 5, 7, 8, 9, 10], 11, (25, 0, 0), NECK),  # and nods
    ],
)
def test_one_bent_joint_is_that_turn_and_no_other(
    which: list[int], about: int, turn: tuple[float, float, float], joint: int
) -> None:
    body, left, right = t_pose()
    found = np.degrees(angles_of(moved(body, which, about, turn), left, right))
    assert found[joint] == pytest.approx(turn, abs=1e-3)
    wrist = {LEFT_ELBOW: LEFT_WRIST, RIGHT_ELBOW: RIGHT_WRIST}.get(
        joint
    )  # the hand has not moved with the arm
    others = [other for other in range(JOINTS) if other not in (joint, wrist)]
    assert np.abs(found[others]).max() < 1e-3


@pytest.mark.parametrize("degrees", [30.0, 80.0, 150.0])
@pytest.mark.parametrize("side", [0, 1])
def test_a_raised_straight_arm_turns_the_shoulder_without_twist(side: int, degrees: float) -> None:
    body, left, right = t_pose()
    turn = (0.0, 0.0, degrees if side == 0 else -degrees)  # upwards
    raised = moved(body, [13 + side, 15 + side], 11 + side, turn)
    hands = [left, right]
    hands[side] = Rotation.from_rotvec(np.radians(turn)).apply(hands[side])
    found = np.degrees(angles_of(raised, hands[0], hands[1]))
    assert found[LEFT_SHOULDER + side] == pytest.approx(turn, abs=1e-3)
    assert np.abs(np.delete(found, LEFT_SHOULDER + side, 0)).max() < 1e-3


def test_the_elbows_plane_shows_how_the_upper_arm_is_turned_about_itself() -> None:
    body, left, right = t_pose()
    bent = moved(body, [15], 13, (0, -90, 0))  # forearm to the front
    twisted = moved(
        bent, [15], 11, (-90, 0, 0)
    )  # and up, as in a wave: the whole arm turned about its own axis
    found = np.degrees(angles_of(twisted, left, right))
    assert found[LEFT_SHOULDER] == pytest.approx((-90, 0, 0), abs=1e-3)
    assert found[LEFT_ELBOW] == pytest.approx((0, -90, 0), abs=1e-3)


def test_a_shrugged_shoulder_turns_its_collar_alone() -> None:
    body, left, right = t_pose()
    shrugged = moved(body, [11, 12, 13, 14, 15, 16], 23, (0, 0, 0))
    middle = (body[11] + body[12]) / 2
    tilt = Rotation.from_rotvec(np.radians((0, 0, 10)))
    arms = [11, 12, 13, 14, 15, 16]
    shrugged[arms] = tilt.apply(body[arms] - middle) + middle
    left, right = tilt.apply(left), tilt.apply(right)
    found = np.degrees(angles_of(shrugged, left, right))
    assert found[LEFT_COLLAR] == pytest.approx((0, 0, 10), abs=1e-3)
    assert found[RIGHT_COLLAR] == pytest.approx((0, 0, 10), abs=1e-3)
    assert np.abs(found[[LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_WRIST, RIGHT_WRIST]]).max() < 1e-3


@pytest.mark.parametrize("turn", [(170.0, 0.0, 0.0), (0.0, 60.0, 0.0), (0.0, 0.0, -45.0)])
@pytest.mark.parametrize("side", [0, 1])
def test_a_turned_hand_is_the_wrists_turn(side: int, turn: tuple[float, float, float]) -> None:
    body, left, right = t_pose()
    hands = [left, right]
    hands[side] = Rotation.from_rotvec(np.radians(turn)).apply(hands[side])
    found = np.degrees(angles_of(body, hands[0], hands[1]))
    assert found[LEFT_WRIST + side] == pytest.approx(turn, abs=1e-3)
    assert np.abs(np.delete(found, LEFT_WRIST + side, 0)).max() < 1e-3


def test_fingers_bend_one_joint_after_the_other() -> None:
    body, left, right = t_pose()
    # index of the left hand: knuckle by 30 degrees, middle joint by 50, both towards the palm (down, about z)
    curled = moved(moved(left, [6, 7, 8], 5, (0, 0, -30)), [7, 8], 6, (0, 0, -50))
    found = np.degrees(angles_of(body, curled, right))
    assert found[LEFT_FINGERS] == pytest.approx((0, 0, -30), abs=1e-3)
    assert found[LEFT_FINGERS + 1] == pytest.approx((0, 0, -50), abs=1e-3)
    assert np.abs(np.delete(found, [LEFT_FINGERS, LEFT_FINGERS + 1], 0)).max() < 1e-3
    # little finger of the right hand (third in MANO's order): its last joint by 40 degrees
    curled = moved(right, [20], 19, (0, 0, 40))
    found = np.degrees(angles_of(body, left, curled))
    assert found[RIGHT_FINGERS + 8] == pytest.approx((0, 0, 40), abs=1e-3)
    assert np.abs(np.delete(found, RIGHT_FINGERS + 8, 0)).max() < 1e-3


def anybody(seed: int) -> tuple[Wide, Wide, Wide]:
    """Some pose, arms and hands at random."""
    body, left, right = t_pose()
    rng = np.random.default_rng(seed)
    return body + rng.normal(0, 0.06, body.shape), left + rng.normal(0, 0.01, (21, 3)), right


@pytest.mark.parametrize("seed", range(5))
def test_angles_do_not_change_with_the_cameras_place_or_the_scale(seed: int) -> None:
    body, left, right = anybody(seed)
    turn = Rotation.random(random_state=seed)
    there = [2.5 * turn.apply(part) + (1.0, -3.0, 2.0) for part in (body, left, right)]
    assert angles_of(*there) == pytest.approx(angles_of(body, left, right), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_mirrored_person_has_mirrored_angles(seed: int) -> None:
    body, left, right = anybody(seed)
    sides = list(range(33))
    for a, b in ((2, 5), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16), (23, 24)):
        sides[a], sides[b] = b, a
    flip = np.array([-1.0, 1.0, 1.0])
    found = angles_of(body[sides] * flip, right * flip, left * flip)
    assert found == pytest.approx(kinematics.mirror(angles_of(body, left, right)), abs=1e-5)


def test_what_is_not_seen_is_absent_and_nothing_else() -> None:
    body, _, right = t_pose()
    hidden = SEEN.copy()
    hidden[15] = 0.1  # the left wrist
    found = joint_angles(body * TO_MEDIAPIPE, hidden, np.full((21, 3), np.nan), right * TO_MEDIAPIPE)
    absent = {NAMES[joint] for joint in range(JOINTS) if np.isnan(found[joint]).all()}
    assert absent == {
        "left_elbow", "left_wrist",
        *(name for name in NAMES if name.startswith("left_") and name[-1].isdigit()),
    }  # fmt: skip
    assert not np.isnan(np.delete(found, [NAMES.index(name) for name in absent], 0)).any()


def test_parts_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="not \\(\\(33, 2\\)"):
        joint_angles(np.zeros((33, 2)), SEEN, np.zeros((21, 3)), np.zeros((21, 3)))


def test_the_table_of_joints_is_consistent() -> None:
    assert JOINTS == 39
    assert all(PARENTS[joint] < joint for joint, _ in EDGES)
    assert len(EDGES) == JOINTS - 1  # a tree
    assert [NAMES[MIRRORED[joint]] for joint in range(JOINTS)] == [
        name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right") for name in NAMES
    ]
