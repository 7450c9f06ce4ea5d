"""What every pose estimator offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.landmarks import Landmarks


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
