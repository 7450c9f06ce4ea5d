"""What every pose estimator offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.errors import PoseError
from engines.landmarks import Landmarks
from engines.runtime.base import Placement


class PoseEstimator(Protocol):
    """Finds one person's landmarks in RGB frames; may carry tracking state from frame to frame."""

    @property
    def name(self) -> str:
        """Name and version, part of every gallery's hash."""
        ...

    def estimate(self, image: NDArray[np.uint8]) -> Landmarks:
        """Landmarks of one frame.

        Args:
            image: uint8 (H, W, 3), RGB, C-contiguous.

        Raises:
            PoseError: the image has another shape or type.
        """
        ...

    def reset(self) -> None:
        """Forget the tracking state: the next frame has nothing to do with the last one."""
        ...

    def close(self) -> None:
        """Release what the estimator holds."""
        ...


@runtime_checkable
class PartedPose(Protocol):
    """An estimator that tells its parts apart."""

    @property
    def parts_ms(self) -> Mapping[str, float]:
        """Work of the last `estimate` by part ("detector", "body", "hands"), milliseconds; a part that was not needed is absent.

        Where several streams share networks, it includes the wait for their batch.
        """
        ...


@runtime_checkable
class PlacedPose(Protocol):
    """An estimator whose networks are executed by an engine that was chosen."""

    def where(self) -> Placement:
        """Device, runtime, precision, and why."""
        ...


def check_picture(image: object) -> None:
    """Refuse what no estimator can take.

    Raises:
        PoseError: it is no picture, uint8 (H, W, 3), or an empty one.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise PoseError(f"a pose estimator takes RGB pictures, uint8 (H, W, 3), not {what}")
    if not image.size:
        height, width, _ = image.shape
        raise PoseError(
            f"a picture of {width}x{height} pixels has nothing to estimate a pose from: RGB pictures have some"
        )
