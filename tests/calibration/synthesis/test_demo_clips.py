"""The embedded demo's clips must be this code's, small, and what their truth says."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("anny", reason="the synthetic signer needs the package anny")
pytest.importorskip("moderngl", reason="rendering needs the package moderngl")

import stream.demo
from calibration.evaluation.spotting import read_annotations
from calibration.synthesis import demo_clips
from calibration.synthesis.video import pictures
from engines.errors import MissingExtra
from stream.sources import read_frames


def test_a_committed_clip_rendered_again_differs_by_its_compression_alone() -> None:
    path, performance, appearance, (width, height) = next(demo_clips.performances())
    again = pictures(performance, appearance, width, height)
    differences = []
    try:
        for number, (frame, picture) in enumerate(zip(read_frames(path), again, strict=False)):
            differences.append(np.abs(frame.image.astype(int) - picture).mean())
            if number == 30:
                break
    except MissingExtra as error:
        pytest.skip(f"nothing can be rendered here: {error}")
    assert len(differences) == 31
    assert np.mean(differences) < 4.0, "of 255; another pose or another look differs by far more"


def test_the_demo_holds_what_its_truth_says() -> None:
    clips = stream.demo.gallery_clips()
    assert set(clips) == set(demo_clips.GLOSSES)
    signs = read_annotations(stream.demo.annotations_path()).videos["stream.mp4"]
    assert {sign.gloss for sign in signs} <= set(clips)
    assert len(signs) >= 10
    frames = sum(1 for _ in read_frames(stream.demo.stream_path()))
    assert signs[-1].end_s < frames / 25 < 30
    assert sum(path.stat().st_size for path in [*clips.values(), stream.demo.stream_path()]) < 5e6
