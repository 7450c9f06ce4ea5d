"""All pictures of a training set on a GPU, and batches of windows cut from them there.

Decoding and deforming the pictures of each batch anew would leave a GPU waiting for the CPU; there the same looks
(`calibration.training.looks`) are made of pictures that were decoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from calibration.synthesis.clips import PICTURES, SIDE, Clips
from calibration.training.looks import GRAIN, WINDOW_VALUES, Look
from engines.features import SMALL_I3D

AT_ONCE = 512
"""Clips that are decoded and sent at once: 230 MB."""
TAPS = 7
"""Of a blur: three deviations of the widest to either side."""


class DevicePictures:
    """The pictures of clips, decoded, on a device.

    Args:
        clips: N of them; a device needs 452 KB for each.
        device: where to.
        threads: that decode.
        progress: told how many clips are there since the last call.
    """

    def __init__(
        self,
        clips: Clips,
        device: torch.device,
        *,
        threads: int = 8,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._pictures = torch.empty((len(clips), PICTURES, SIDE, SIDE, 3), dtype=torch.uint8, device=device)
        self._grain = torch.from_numpy(GRAIN).to(device)
        every = list(range(PICTURES))
        with ThreadPoolExecutor(threads) as pool:
            for first in range(0, len(clips), AT_ONCE):
                part = range(first, min(first + AT_ONCE, len(clips)))
                decoded = np.stack(list(pool.map(lambda clip: clips.pictures(clip, every), part)))
                self._pictures[first : part.stop] = torch.from_numpy(decoded).to(device)
                if progress is not None:
                    progress(len(part))

    def windows(self, which: NDArray[np.int64], looks: Sequence[Look]) -> Tensor:
        """Clips (B,) as these looks show them, uint8 (B, 8, 96, 96, 3) on the device."""
        device = self._pictures.device

        def sent(values: NDArray[np.generic] | Sequence[float]) -> Tensor:
            return torch.from_numpy(np.asarray(values)).to(device)

        batch, side, count = len(looks), SMALL_I3D.size, SMALL_I3D.count
        nearest = sent(np.stack([look.nearest for look in looks]))
        chosen = self._pictures[sent(which)[:, None], nearest]  # (B, 8, 112, 112, 3)
        x = chosen.permute(0, 1, 4, 2, 3).reshape(batch, count * 3, SIDE, SIDE).float()
        matrix = sent(np.stack([look.matrix for look in looks]).astype(np.float32))
        grid = _grid(matrix, side)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)
        colours = sent(np.stack([look.colours for look in looks]).astype(np.float32))
        x = x.reshape(batch, count, 3, side * side)
        x = torch.einsum("bdc,bfcp->bfdp", colours[:, :, :3], x) + colours[:, None, :, 3:]
        x = x.round().clamp(0, 255).reshape(batch, count * 3, side, side)
        soft = [number for number, look in enumerate(looks) if look.softness]
        if soft:
            x[soft] = _blurred(x[soft], sent([looks[number].softness for number in soft]).float())
        x = x.reshape(batch, count, 3, side, side).permute(0, 1, 3, 4, 2)
        place = sent([look.start for look in looks])[:, None] + torch.arange(WINDOW_VALUES, device=device)
        grain = self._grain[place].reshape(x.shape)
        x = x + grain * sent([look.grain for look in looks]).float()[:, None, None, None, None]
        return x.round().clamp(0, 255).to(torch.uint8)


def _grid(matrix: Tensor, side: int) -> Tensor:
    """Where to read for each pixel of the window (B, side, side, 2), in `grid_sample`'s units."""
    steps = torch.arange(side, device=matrix.device, dtype=torch.float32)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], -1)
    return torch.einsum("bdk,hwk->bhwd", matrix, pixels) * (2 / (SIDE - 1)) - 1


def _blurred(x: Tensor, deviations: Tensor) -> Tensor:
    """(B, C, H, W), each with its own Gaussian, edges reflected as OpenCV does."""
    batch, channels = x.shape[:2]
    away = torch.arange(TAPS, device=x.device) - TAPS // 2
    taps = torch.exp(-0.5 * (away[None] / deviations[:, None]) ** 2)
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = F.pad(x.reshape(1, batch * channels, *x.shape[2:]), (TAPS // 2,) * 4, mode="reflect")
    flat = F.conv2d(flat, taps[:, None, :, None], groups=batch * channels)
    flat = F.conv2d(flat, taps[:, None, None, :], groups=batch * channels)
    return flat.round().reshape(x.shape)
