"""What SAM-SLR's networks see of a window, against the public code's own steps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import sam_slr, skeleton


def public_streams(pixels: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """`gen_bone_data.py`, `gen_motion_data.py` and the feeder's normalisation, on (16, 27, 3) in pixels.

    Bones as the public table has them, one-based from 5: (parent, child).
    """
    pairs = (
        *((5, 6), (5, 7), (6, 8), (8, 10), (7, 9), (9, 11)),
        *((12, 13), (12, 14), (12, 16), (12, 18), (12, 20), (14, 15), (16, 17), (18, 19), (20, 21)),
        *((22, 23), (22, 24), (22, 26), (22, 28), (22, 30), (24, 25), (26, 27), (28, 29), (30, 31)),
        *((10, 12), (11, 22)),
    )
    bone = pixels.copy()
    for parent, child in pairs:
        bone[:, child - 5] = pixels[:, child - 5] - pixels[:, parent - 5]
    streams = {"joint": pixels.copy(), "bone": bone}
    for name, data in (("joint-motion", pixels), ("bone-motion", bone)):
        motion = np.zeros_like(data)
        for t in range(15):
            motion[t] = data[t + 1] - data[t]
        streams[name] = motion
    for name, data in streams.items():
        moved = slice(None) if name == "joint" else slice(0, 1)
        data[:, moved, :2] -= data[:, 0, :2].mean(0)
    return streams


@pytest.mark.parametrize("stream", sam_slr.STREAMS)
def test_windows_are_prepared_as_the_public_code_prepares_them(stream: sam_slr.Stream) -> None:
    points = np.random.default_rng(0).uniform(0, 1, (16, 27, 3)).astype(np.float32)
    expected = public_streams(points.astype(np.float64) * (512, 512, 1))[stream]
    found = sam_slr.window_input(points, stream)
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=1e-4)


def test_the_bones_are_the_public_ones() -> None:
    """A checkpoint of the bone stream would otherwise see other bones than in training."""
    assert len(skeleton.EDGES) == 26


@pytest.mark.parametrize("stream", sam_slr.STREAMS)
def test_a_joint_that_is_never_seen_is_zero_and_moves_no_other(stream: sam_slr.Stream) -> None:
    points = np.random.default_rng(0).uniform(0, 1, (16, 27, 3)).astype(np.float32)
    lacking = points.copy()
    lacking[:, 17:] = np.nan  # the right hand; no other bone ends there
    whole, without = sam_slr.window_input(points, stream), sam_slr.window_input(lacking, stream)
    assert not without[:, :, 17:].any()
    np.testing.assert_array_equal(without[:, :, :17], whole[:, :, :17])


def test_hands_alone_are_seen_relative_to_themselves() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (16, 27, 3)).astype(np.float32)
    points[:, :7] = np.nan
    moved = points + np.array([0.25, -0.5, 0], np.float32)
    found = sam_slr.window_input(points, "joint")
    assert found.any()
    np.testing.assert_allclose(sam_slr.window_input(moved, "joint"), found, atol=1e-3)


def test_a_window_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(16, 26, 3\)"):
        sam_slr.window_input(np.zeros((16, 26, 3), np.float32), "joint")
