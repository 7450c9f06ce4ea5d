"""Which pose estimator to use, by the name that a user gives."""

from __future__ import annotations

from pathlib import Path

from engines.choice import AUTO
from engines.errors import ConfigError
from engines.pose.base import PoseEstimator

HOLISTIC = "holistic"
FACE = "holistic+face"
BLAZE = "blaze"
WHOLEBODY = "wholebody"
POSES = {
    HOLISTIC: "MediaPipe's own Holistic graph",
    FACE: "the same with 70 points of the face, for transcript networks that see them",
    BLAZE: "the same networks on Signspot's engines",
    f"{WHOLEBODY}:FILE.onnx": "a 133-keypoint network of your own, HRNet or RTMPose; 2D alone",
}
"""Name -> what it is, for `--help`."""


def open_pose(
    name: str = HOLISTIC, *, threads: int | None = None, engine: str | None = None
) -> PoseEstimator:
    """Open a pose estimator; whoever asks for it closes it.

    Args:
        name: one of `POSES`; after the file may stand `,mean=R/G/B` and `,std=R/G/B`, of colours from 0 to 255.
        threads: CPU threads for a network, where the estimator leaves that to us.
        engine: what executes the networks of blaze or of one's own, as `open_engine` takes it; Holistic has a runtime of its own.

    Raises:
        ConfigError: there is none of that name.
        MissingExtra: a package that it needs is not installed.
        PoseError, EngineError: it does not start.
    """
    if name in (HOLISTIC, FACE):
        from engines.pose.mediapipe import HolisticPose  # takes most of a second: only where it is used

        return HolisticPose(face=name == FACE)
    if name == BLAZE:
        from engines.pose.blaze.estimator import BlazePose, open_networks

        return BlazePose(open_networks(threads=threads, runtime=engine))
    kind, _, rest = name.partition(":")
    if kind == WHOLEBODY:
        from engines.pose.wholebody import WholeBodyPose

        path, options = _wholebody(rest)
        mean, std = options.get("mean"), options.get("std")
        return WholeBodyPose(path, mean=mean, std=std, threads=threads or 1, engine=engine or AUTO)
    raise ConfigError(f"there is no pose estimator {name!r}: choose one of {', '.join(POSES)}")


def open_poses(
    name: str = HOLISTIC, *, count: int, threads: int | None = None, engine: str | None = None
) -> list[PoseEstimator]:
    """Open a pose estimator for each of several streams; whoever asks for them closes them.

    Each tracks its own stream. Blaze's share their networks: what several streams need at a time is run as one batch.

    Args:
        name: as `open_pose` takes it.
        count: of the streams.
        threads: CPU threads for a network, where the estimator leaves that to us.
        engine: as `open_pose` takes it.

    Raises:
        ConfigError, MissingExtra, PoseError, EngineError: as `open_pose`.
    """
    if name == BLAZE:
        from engines.pose.blaze.estimator import BlazePose, open_networks

        networks = open_networks(threads=threads, shared=count > 1, runtime=engine)
        return [BlazePose(networks) for _ in range(count)]
    return [open_pose(name, threads=threads, engine=engine) for _ in range(count)]


def _wholebody(words: str) -> tuple[Path, dict[str, list[float]]]:
    """`FILE.onnx,mean=R/G/B,std=R/G/B` to the file and what is given of its normalisation."""
    file, *rest = words.split(",")
    options: dict[str, list[float]] = {}
    for word in rest:
        key, _, values = word.partition("=")
        try:
            options[key] = [float(value) for value in values.split("/")]
        except ValueError:
            options[key] = []
        if key not in ("mean", "std") or len(options[key]) != 3:
            raise ConfigError(
                f"--pose {WHOLEBODY}:{words}: after the file may stand mean=R/G/B and std=R/G/B, not {word!r}"
            )
    if not file:
        raise ConfigError(
            f"pose estimator {WHOLEBODY}: name the network's file, --pose {WHOLEBODY}:FILE.onnx"
        )
    return Path(file), options


def pose_of(estimator: str) -> str:
    """The name to open an estimator by, from the name that its landmarks carry: "blaze-0.10.21-c1" -> "blaze"."""
    return estimator.partition("-")[0]


def family(estimator: str) -> str:
    """What estimators have in common whose landmarks may stand side by side in a gallery.

    Blaze runs Holistic's networks by Holistic's rules: on the StartASL sentences their landmarks differ by 0.03% (body) and
    0.45% (hands in bytes; 0.07% in float32) of the shoulders' width (median; benchmarks/pose_estimators.py), less than two frames of
    the same pose do.
    """
    head, dash, rest = estimator.partition("-")
    return f"{HOLISTIC}{dash}{rest}" if head in (BLAZE, FACE) else estimator
