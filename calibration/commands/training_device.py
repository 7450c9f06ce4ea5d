"""`--device` of the training commands."""

from __future__ import annotations

import argparse

from engines.errors import ConfigError


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where to train; the same seed gives another outcome on another one (default: cpu)",
    )


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        ConfigError: PyTorch finds no NVIDIA GPU.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"--device cuda: PyTorch {torch.__version__} finds no NVIDIA GPU; leave it out to train on the CPU"
        )
