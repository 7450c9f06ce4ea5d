"""Poses made by hand: what joints do is what a protractor says, and nothing goes through anything."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("anny", reason="the synthetic signer needs the package anny")

from calibration.synthesis import joint_limits as limits
from calibration.synthesis.anatomy import OVERLAP_M, SLACK_RAD, Skin, excesses
from calibration.synthesis.arms import Arm
from calibration.synthesis.body import body_of
from calibration.synthesis.clearance import Arms, Posed, give_way
from calibration.synthesis.handshapes import SHAPES
from calibration.synthesis.landmarks import hand_points
from calibration.synthesis.lexicon import ARM, SignForm, read_lexicon
from calibration.synthesis.motion import Act, isolated, perform
from calibration.synthesis.performance import Array, Performance, Signer
from calibration.synthesis.solids import distance_to, solid_of

Wide = NDArray[np.float64]
Vector = tuple[float, float, float]

SIGNER = Signer.draw(3)
BODY = body_of(SIGNER)
BOTH = (Arm.of(BODY, "L"), Arm.of(BODY, "R"))
SOLID = solid_of(SIGNER)
DOWN, AHEAD, UP = (0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)
LEFT, RIGHT = (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("side", "fingers", "thumb", "palm", "said"),
    [
        (-1, AHEAD, UP, LEFT, (0, 0, 0)),  # right hand as for a handshake
        (1, AHEAD, UP, RIGHT, (0, 0, 0)),  # the left one
        (-1, AHEAD, RIGHT, UP, (90, 0, 0)),  # right palm up: supination
        (-1, AHEAD, LEFT, DOWN, (-90, 0, 0)),  # palm down: pronation
        (1, AHEAD, LEFT, UP, (90, 0, 0)),  # left palm up
        (-1, LEFT, UP, (0, 1, 0), (0, 0, 90)),  # fingers to the palm's side: flexion
        (1, LEFT, UP, AHEAD, (0, 0, -90)),  # left fingers to the back's side: extension
        (-1, UP, (0, 1, 0), LEFT, (0, 90, 0)),  # fingers to the thumb's side: radial deviation
    ],
)
def test_bends_are_what_a_protractor_says(
    side: float, fingers: Vector, thumb: Vector, palm: Vector, said: Vector
) -> None:
    """The upper arm hangs and the forearm is stretched out to the front."""
    np.testing.assert_allclose(
        np.degrees(limits.bends(DOWN, AHEAD, side, fingers, thumb, palm)), said, atol=1e-6
    )


def test_a_hand_comes_back_from_its_bends() -> None:
    rng = np.random.default_rng(0)
    for side, handed in ((1.0, -1.0), (-1.0, 1.0)):
        for _ in range(50):
            upper, lower = rng.standard_normal((2, 3))
            upper, lower = tuple(upper / np.linalg.norm(upper)), tuple(lower / np.linalg.norm(lower))
            bent = (rng.uniform(-3, 3), rng.uniform(-1, 1), rng.uniform(-1, 1))
            x, y, z = limits.hand_of(upper, lower, side, handed, bent)
            assert np.linalg.det(np.stack([x, y, z])) == pytest.approx(handed)
            np.testing.assert_allclose(limits.bends(upper, lower, side, x, y, z), bent, atol=1e-9)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ((60, 0, 0), (60, 0, 0)),  # within reach
        ((100, 0, 0), (82.1, 0, 0)),  # Boone and Azen's supination
        ((-100, 0, 0), (-75.8, 0, 0)),  # pronation
        ((0, 30, 0), (0, 21.5, 0)),  # radial deviation
        ((0, -50, 0), (0, -36.0, 0)),  # ulnar
        ((0, 0, 100), (0, 0, 76.4)),  # flexion
        ((0, 0, -100), (0, 0, -74.9)),  # extension
        ((0, 21.5, 76.4), (0, 21.5 / 2**0.5, 76.4 / 2**0.5)),  # both at once: an ellipse
    ],
)
def test_what_joints_cannot_do_becomes_what_they_can(asked: Vector, given: Vector) -> None:
    np.testing.assert_allclose(np.degrees(limits.within(tuple(np.radians(asked)))), given, atol=1e-6)


def test_a_hand_that_is_turned_all_round_never_jumps() -> None:
    turned = np.linspace(-np.pi, np.pi, 721)
    twists = [limits.within((angle, 0.0, 0.0))[0] for angle in turned]
    assert np.degrees(np.abs(np.diff([*twists, twists[0]])).max()) < 2
    around = [limits.within((0.0, np.cos(a) * 3.0, np.sin(a) * 3.0))[1:] for a in turned]
    assert np.degrees(np.abs(np.diff(around, axis=0)).max()) < 2


@pytest.mark.parametrize(
    ("upper", "lower", "beyond"),
    [
        (DOWN, AHEAD, 0),  # hanging, forearm to the front
        (RIGHT, AHEAD, 0),  # the right arm abducted
        (RIGHT, UP, 0),  # outward rotation by 90 of 103.7
        (RIGHT, DOWN, 90 - 68.8),  # inward rotation
        (AHEAD, LEFT, 0),  # across, as to fold the arms
        (AHEAD, UP, 0),  # hand above a stretched-out elbow
        ((0.0, 1.0, 0.0), DOWN, 90 - 62.3 + 90 - 45.4 + 0),  # straight backwards: behind in two ways
    ],
)
def test_a_shoulder_goes_as_far_as_shoulders_do(upper: Vector, lower: Vector, beyond: float) -> None:
    excess = np.degrees(limits.shoulder_excess(upper, lower, -1.0))
    if upper == (0.0, 1.0, 0.0):  # and its twist, whatever it be
        assert excess >= beyond - 1e-6
    else:
        assert excess == pytest.approx(beyond, abs=1e-6)


def held(left: Vector, right: Vector, frames: int = 9) -> tuple[Posed, Wide]:
    """Flat hands held with their wrists at two places, fingers up and palms forward."""
    axes = []
    for arm in BOTH:
        x, z = np.array(UP), np.array(AHEAD)
        axes.append(np.stack([x, np.cross(z, x) * np.sign(np.linalg.det(arm.hand.axes)), z], 1))
    shoulders = [BODY.heads[BODY.index(f"upperarm01.{side}")].astype(float) for side in "LR"]
    shape = SHAPES["flat"].directions.astype(float)
    still = np.tile(np.eye(3), (frames, 1, 1))
    arms = Arms(
        place=np.stack([np.tile(place, (frames, 1)) for place in (left, right)]).astype(float),
        offset=np.zeros((2, frames, 3)),
        hands=np.stack([np.tile(one, (frames, 1, 1)) for one in axes]),
        shape=np.tile(shape, (2, frames, 1, 1)),
        shoulder=np.stack([np.tile(one, (frames, 1)) for one in shoulders]),
        trunk=still,
        head=still,
        head_joint=np.tile(BODY.heads[BODY.index("head")].astype(float), (frames, 1)),
    )
    return give_way(arms, BOTH, SOLID, 25.0), arms.shape


def mesh(posed: Posed, shape: Wide) -> tuple[Array, Array]:
    """The middle frame's rotations and joints."""
    rotations = np.tile(np.eye(3, dtype=np.float32), (posed.wrist.shape[1], len(BODY.bones), 1, 1))
    for number, arm in enumerate(BOTH):
        shoulder = np.tile(
            BODY.heads[BODY.index(f"upperarm01.{arm.side}")].astype(float), (len(rotations), 1)
        )
        arm.pose(
            BODY,
            rotations,
            shoulder,
            posed.elbow[number],
            posed.wrist[number],
            posed.hands[number],
            shape[number],
        )
    return rotations[4], BODY.joints(rotations)[4]


NOSE = BODY.face_points["nose"].astype(float)


def before(aside: float, forward: float, up: float) -> Vector:
    """A place from the nose, metres."""
    return (float(NOSE[0] + aside), float(NOSE[1] - forward), float(NOSE[2] + up))


def test_hands_that_are_in_nobodys_way_stay_where_they_are_wanted() -> None:
    left, right = before(0.25, 0.15, -0.2), before(-0.25, 0.15, -0.2)
    posed, shape = held(left, right)
    np.testing.assert_allclose(posed.wrist[:, 4], [left, right], atol=1e-9)
    assert max(Skin.of(BODY).overlaps(*mesh(posed, shape)).values()) < OVERLAP_M


@pytest.mark.parametrize(
    ("left", "right", "at_most"),
    [
        # Both hands at one place, where no sign wants them: what the spheres do not see of the wrists stays.
        (before(0.0, 0.25, -0.3), before(0.0, 0.25, -0.3), 0.02),
        (before(0.25, 0.2, -0.3), before(0.0, -0.02, -0.1), 0.008),  # the right one in the mouth
        (before(0.25, 0.2, -0.3), before(-0.02, -0.08, -0.45), 0.008),  # in the chest
        (before(-0.12, 0.22, -0.32), before(0.12, 0.22, -0.32), 0.008),  # forearms crossed at one height
    ],
)
def test_hands_give_way(left: Vector, right: Vector, at_most: float) -> None:
    posed, shape = held(left, right)
    deepest = Skin.of(BODY).overlaps(*mesh(posed, shape))
    assert max(deepest.values()) < at_most, deepest
    assert np.linalg.norm(posed.wrist[:, 4] - [left, right], axis=1).max() < 0.25, (
        "and not farther than they must"
    )


def test_what_goes_through_something_is_noticed() -> None:
    """The measure sees what motion without clearance would do."""
    skin = Skin.of(BODY)
    rotations = np.tile(np.eye(3, dtype=np.float32), (1, len(BODY.bones), 1, 1))
    at_rest = skin.overlaps(rotations[0], BODY.joints(rotations)[0])
    assert max(at_rest.values()) < OVERLAP_M
    shape = np.tile(SHAPES["flat"].directions.astype(float), (1, 1, 1))
    for number, arm in enumerate(BOTH):
        shoulder = BODY.heads[BODY.index(f"upperarm01.{arm.side}")].astype(float)[None]
        wrist = np.array([before(0.02 - 0.04 * number, -0.04, -0.45)])
        axes = np.stack(
            [np.array(UP), np.cross(AHEAD, UP) * np.sign(np.linalg.det(arm.hand.axes)), np.array(AHEAD)], 1
        )
        elbow, wrist, bent = arm.reach(shoulder, wrist, axes[None], np.eye(3)[None], SOLID.trunk, 25.0)
        arm.pose(BODY, rotations, shoulder, elbow, wrist, arm.hands(shoulder, elbow, wrist, bent), shape)
    inside = skin.overlaps(rotations[0], BODY.joints(rotations)[0])
    assert inside["hand in other hand"] > OVERLAP_M
    assert inside["hand in trunk"] > OVERLAP_M


def test_fields_tell_inside_from_outside() -> None:
    ahead = (float(NOSE[0]), float(NOSE[1] - 0.03), float(NOSE[2]))
    assert distance_to(SOLID.head.grid, SOLID.head.origin, ahead) == pytest.approx(0.03, abs=0.006)
    eyes = (BODY.heads[BODY.index("eye.L")] + BODY.heads[BODY.index("eye.R")]) / 2
    middle = (float(eyes[0]), float(eyes[1] + 0.08), float(eyes[2]))
    assert distance_to(SOLID.head.grid, SOLID.head.origin, middle) < -0.03
    assert distance_to(SOLID.trunk.grid, SOLID.trunk.origin, (5.0, 0.0, 0.0)) > 0.5
    x, y, z = (float(one) for one in BODY.heads[BODY.index("spine02")])
    spine = (x, y - 0.04, z)
    assert distance_to(SOLID.trunk.grid, SOLID.trunk.origin, spine) < -0.03


@pytest.fixture(scope="module")
def whole() -> Performance:
    return perform(SIGNER, [Act("sign", form) for form in list(read_lexicon().values())[::3]], seed=1)


def test_signing_stays_within_the_joints_limits(whole: Performance) -> None:
    beyond = excesses(whole).reshape(-1, 4) > SLACK_RAD
    assert beyond[:, 1:].mean(0).max() < 0.005, "elbow, forearm and wrist"
    assert beyond[:, 0].mean() < 0.04, "the shoulder"


def test_signing_goes_through_nothing_but_rarely(whole: Performance) -> None:
    skin = Skin.of(BODY)
    frames = range(0, len(whole), 12)
    deep = [max(skin.overlaps(whole.rotations[t], whole.joints[t]).values()) > OVERLAP_M for t in frames]
    assert np.mean(deep) < 0.08


@pytest.mark.parametrize("place", ARM)
def test_a_place_on_the_other_arm_is_on_the_other_arm(place: str) -> None:
    """Within a hand's breadth: where the rest of hand and arm would go through the other one, it stays away so far."""
    back = place in ("other-elbow", "other-forearm", "other-wrist", "other-hand-back")
    form = SignForm(
        gloss="X", shape="index", at=place, hands="base", contact="tip", fingers="in+down", palm="back",
        base_palm="down" if back else "up",
    )  # fmt: skip
    calm = Signer(seed=3, phenotype=SIGNER.phenotype, sloppiness=0.0)
    performance = isolated(calm, form, seed=1)
    sign = performance.signs[0]
    frame = int((sign.start_s + sign.end_s) / 2 * performance.fps)
    rotations, joints = performance.rotations[frame], performance.joints[frame]
    skin = Skin.of(BODY)
    places, _ = skin.posed(rotations, joints)
    tip = hand_points(BODY, "R", rotations[None], joints[None])[0, 8]
    owned = "hand L" if place.endswith(("back", "fingertips", "thumb")) else "arm L"
    assert np.linalg.norm(places[skin.parts[owned]] - tip, axis=1).min() < 0.11
