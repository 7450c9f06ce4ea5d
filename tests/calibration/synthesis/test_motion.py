"""Motion must be a body's: bones keep their length, hands stay outside the trunk, and the truth is where it says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny", reason="the synthetic signer needs the package anny")

from calibration.synthesis.arms import hand_frame
from calibration.synthesis.body import _model, body_of
from calibration.synthesis.handshapes import SHAPES
from calibration.synthesis.landmarks import Camera, Noise, hand_points, landmarks_of
from calibration.synthesis.lexicon import SignForm, read_lexicon
from calibration.synthesis.motion import Act, isolated, perform, stroke_seconds
from calibration.synthesis.performance import PHENOTYPE, Performance, Signer
from calibration.synthesis.streams import idling, sentences

LSE = Path(__file__).parents[4] / "shared" / "data" / "lse_health" / "glosses.json.gz"
SIGNER = Signer.draw(3)
LEXICON = read_lexicon()


@pytest.fixture(scope="module")
def whole() -> Performance:
    """Every hand-written sign, one after the other."""
    return perform(SIGNER, [Act("sign", form) for form in LEXICON.values()], seed=1)


def test_joints_are_those_of_the_body_models_own_kinematics(whole: Performance) -> None:
    import torch

    frame = 200
    model = _model()
    values = {name: torch.tensor([SIGNER.phenotype[name]]) for name in PHENOTYPE}
    rest = model(phenotype_kwargs=values)["rest_bone_poses"][0].float()
    turned = torch.eye(4).repeat(len(rest), 1, 1)
    turned[:, :3, :3] = torch.from_numpy(whole.rotations[frame]) @ rest[:, :3, :3]
    turned[0, :3, 3] = rest[0, :3, 3]
    posed = model(
        pose_parameters=turned[None].to(model.dtype),
        phenotype_kwargs=values,
        pose_parameterization="world-orient",
    )
    theirs = posed["bone_poses"][0, :, :3, 3].numpy()
    np.testing.assert_allclose(whole.joints[frame], theirs, atol=1e-4)


def test_bones_keep_their_length(whole: Performance) -> None:
    body = body_of(SIGNER)
    for bone in ("lowerarm01.R", "wrist.R", "finger2-3.L", "finger5-2.R"):
        number = body.index(bone)
        parent = body.parents[number]
        length = np.linalg.norm(whole.joints[:, number] - whole.joints[:, parent], axis=1)
        at_rest = np.linalg.norm(body.heads[number] - body.heads[parent])
        np.testing.assert_allclose(length, at_rest, atol=1e-5)


def test_rotations_are_rotations(whole: Performance) -> None:
    identity = np.swapaxes(whole.rotations, -1, -2) @ whole.rotations
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5)
    assert (np.linalg.det(whole.rotations) > 0).all()


def test_hands_do_not_pass_through_the_trunk(whole: Performance) -> None:
    body = body_of(SIGNER)
    spine, chest = body.heads[body.index("spine05")], body.heads[body.index("neck01")]
    for side in "LR":
        points = hand_points(body, side, whole.rotations, whole.joints)
        inside = (points[..., 2] > spine[2]) & (points[..., 2] < chest[2]) & (np.abs(points[..., 0]) < 0.10)
        assert (points[..., 1][inside] < spine[1] + 0.0).mean() > 0.98


def test_wrists_bend_as_far_as_wrists_do(whole: Performance) -> None:
    body = body_of(SIGNER)
    for side in ("L", "R"):
        frame = hand_frame(body, side)
        wrist, elbow = body.index(f"wrist.{side}"), body.index(f"lowerarm01.{side}")
        forearm = whole.joints[:, wrist] - whole.joints[:, elbow]
        forearm /= np.linalg.norm(forearm, axis=1, keepdims=True)
        at_rest = body.heads[wrist] - body.heads[elbow]
        along = np.swapaxes(whole.rotations[:, wrist], 1, 2) @ forearm[:, :, None]
        bend = np.degrees(np.arccos(np.clip(along[:, :, 0] @ (at_rest / np.linalg.norm(at_rest)), -1, 1)))
        assert bend.max() < 76
        assert frame.lengths.min() > 0.01


def test_a_sign_is_where_it_says_with_the_handshape_it_says() -> None:
    form = SignForm(
        gloss="X", shape="index", at="nose", contact="tip", fingers="up+in", palm="back", move="hold"
    )
    calm = Signer(seed=3, phenotype=SIGNER.phenotype, sloppiness=0.0)
    performance = isolated(calm, form, seed=1)
    sign = performance.signs[0]
    frame = int((sign.start_s + sign.end_s) / 2 * performance.fps)
    body = body_of(calm)
    part = slice(frame, frame + 1)
    hand = hand_points(body, "R", performance.rotations[part], performance.joints[part])[0]
    nose = body.carried(
        "head", body.face_points["nose"], performance.rotations[part], performance.joints[part]
    )[0]
    assert np.linalg.norm(hand[8] - nose) < 0.06, "the index finger's tip is at the nose"
    reach = np.linalg.norm(hand[[8, 12, 16, 20]] - hand[0], axis=1)
    assert reach[0] > 1.5 * reach[1:].max(), "and only that finger is stretched"


def test_a_left_hander_signs_with_the_left() -> None:
    for left_handed, side in ((False, "R"), (True, "L")):
        signer = Signer(seed=3, phenotype=SIGNER.phenotype, left_handed=left_handed)
        performance = isolated(signer, LEXICON["HELLO"], seed=1)
        body = body_of(signer)
        heights = {s: performance.joints[:, body.index(f"wrist.{s}"), 2].max() for s in "LR"}
        assert max(heights, key=lambda s: heights[s]) == side


def test_the_truth_is_the_stroke() -> None:
    performance = sentences(SIGNER, list(LEXICON.values()), seed=4, count=6)
    assert len(performance.signs) >= 12
    for sign in performance.signs:
        assert sign.preparation_s < sign.start_s < sign.end_s < sign.retraction_s
    for one, two in zip(performance.signs, performance.signs[1:], strict=False):
        assert one.end_s < two.start_s


def test_the_same_seed_moves_the_same() -> None:
    one, two = (sentences(SIGNER, list(LEXICON.values()), seed=4, count=2) for _ in range(2))
    np.testing.assert_array_equal(one.rotations, two.rotations)
    assert one.signs == two.signs


def test_idling_has_no_sign_and_moves() -> None:
    performance = idling(SIGNER, seconds=30, seed=1)
    assert performance.signs == ()
    assert len(performance) == 750
    wrist = performance.joints[:, body_of(SIGNER).index("wrist.R")]
    assert np.ptp(wrist, axis=0).max() > 0.2


def test_durations_follow_real_signs() -> None:
    """Against LSE-Health's annotations where they are at hand, else against the quantiles that its README gives."""
    rng = np.random.default_rng(0)
    plain, repeated = (SignForm(gloss="X", shape="fist", at="chin", repeats=n) for n in (1, 2))
    drawn = [stroke_seconds(rng, form) for _ in range(4000) for form in (plain, repeated)]
    real = np.array([0.2, 0.48, 1.4])
    if LSE.exists():
        videos = json.loads(gzip.decompress(LSE.read_bytes()))
        spans = [(end - begin) / 1e3 for signs in videos.values() for begin, end, _ in signs]
        real = np.quantile(spans, [0.05, 0.5, 0.95])
    np.testing.assert_allclose(np.quantile(drawn, [0.05, 0.5, 0.95]), real, rtol=0.12)


def test_landmarks_are_the_projected_joints() -> None:
    performance = isolated(SIGNER, LEXICON["BOOK"], seed=1)
    camera = Camera()
    seen = landmarks_of(performance, camera)
    body = body_of(SIGNER)
    wrist = performance.joints[40, body.index("wrist.L")]
    focal = 0.5 / np.tan(camera.field_rad / 2) * camera.height
    depth = wrist[1] + camera.distance_m
    np.testing.assert_allclose(seen.pose[40, 15, 0] * camera.width, 320 + focal * wrist[0] / depth, atol=0.01)
    np.testing.assert_allclose(
        seen.left_hand[40, 0, 1] * 480, 240 - focal * (wrist[2] - 0.38) / depth, atol=0.01
    )
    between = seen.pose_world[40, 15] - seen.pose_world[40, 13]
    assert np.linalg.norm(between) == pytest.approx(
        np.linalg.norm(wrist - performance.joints[40, body.index("lowerarm01.L")]), abs=1e-4
    )


def test_noise_loses_fast_hands_more_often() -> None:
    performance = sentences(SIGNER, list(LEXICON.values()), seed=4, count=12)
    noise = Noise(
        body_offset=(),
        hand_shift=0.0,
        body_error=0.02,
        hand_error=0.05,
        persistence=0.5,
        missing=((0, 0.0), (1, 0.05), (6, 0.9)),
        swapped=0,
    )
    clean, noisy = (
        landmarks_of(performance, Camera()),
        landmarks_of(performance, Camera(), noise=noise, seed=1),
    )
    body = body_of(SIGNER)
    knuckle = performance.joints[:, body.index("finger3-1.R")]
    speed = np.linalg.norm(np.gradient(knuckle, axis=0), axis=1)
    gone = np.isnan(noisy.right_hand[:, 0, 0])
    fast = speed > np.quantile(speed, 0.9)
    assert gone[fast].mean() > 3 * gone[~fast].mean()
    error = np.linalg.norm((noisy.pose - clean.pose)[:, 11, :2], axis=1)
    assert 0 < error.mean() < 0.02


def test_every_handshape_can_be_made() -> None:
    """A finger bone never turns by more than a finger can, seen from rest."""
    for name in SHAPES:
        form = SignForm(gloss="X", shape=name, at="neutral", move="hold")
        performance = isolated(SIGNER, form, seed=1)
        assert np.isfinite(performance.joints).all()
