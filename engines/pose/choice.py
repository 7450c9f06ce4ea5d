"""Which pose estimator to use, by the name that a user gives."""

from __future__ import annotations

from engines.errors import ConfigError
from engines.pose.base import PoseEstimator

HOLISTIC = "holistic"
BLAZE = "blaze"
POSES = {
    HOLISTIC: "MediaPipe's own Holistic graph",
    BLAZE: "the same networks on Signspot's engines",
}
"""Name -> what it is, for `--help`."""


def open_pose(name: str = HOLISTIC, *, threads: int | None = None) -> PoseEstimator:
    """Open a pose estimator; whoever asks for it closes it.

    Args:
        name: one of `POSES`.
        threads: CPU threads for a network, where the estimator leaves that to us.

    Raises:
        ConfigError: there is none of that name.
        MissingExtra: a package that it needs is not installed.
        PoseError, EngineError: it does not start.
    """
    if name == HOLISTIC:
        from engines.pose.mediapipe import HolisticPose  # takes most of a second: only where it is used

        return HolisticPose()
    if name == BLAZE:
        from engines.pose.blaze.estimator import BlazePose

        return BlazePose(threads=threads)
    raise ConfigError(f"there is no pose estimator {name!r}: choose one of {', '.join(POSES)}")


def pose_of(estimator: str) -> str:
    """The name to open an estimator by, from the name that its landmarks carry: "blaze-0.10.21-c1" -> "blaze"."""
    return estimator.partition("-")[0]


def family(estimator: str) -> str:
    """What estimators have in common whose landmarks may stand side by side in a gallery.

    Blaze runs Holistic's networks by Holistic's rules: on the StartASL clips their landmarks differ by 0.1% of the
    shoulders' width (median; benchmarks/pose_estimators.py), far less than two frames of the same pose do.
    """
    head, dash, rest = estimator.partition("-")
    return f"{HOLISTIC}{dash}{rest}" if head == BLAZE else estimator
