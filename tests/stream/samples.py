"""Messages and observations to show in tests of the views."""

from __future__ import annotations

from typing import Any

import numpy as np

from engines.landmarks import Landmarks
from stream.clock import Tick
from stream.events import (
    Degradation,
    Detection,
    Hypothesis,
    HypothesisGloss,
    Percentiles,
    RunnerUp,
    Status,
)
from stream.frame import Frame
from stream.spotting import Bar
from stream.view import Observation

HEADER: dict[str, Any] = {"stream": "cam", "epoch": "abc", "segment": 0, "seq": 0, "time_us": 0}


def status(**changes: Any) -> Status:
    """A stream that runs well, with `changes`."""
    fields: dict[str, Any] = {
        "source": "webcam 0",
        "state": "live",
        "state_reason": "",
        "people": "unknown",
        "view": "ok",
        "view_hint": "",
        "fps_in": 29.97,
        "fps_processed": 25.0,
        "frames_in": 900,
        "frames_dropped": {"overwritten": 0},
        "gaps": 0,
        "degradation": Degradation(level=0, gives_up="nothing", reason="the machine keeps up"),
        "stages": {},
        "processing_ms": Percentiles(p50=38.4, p95=61.2, p99=88.0, max=101.0),
        "cpu_ms_per_tick": 41.3,
        "encoders": ["slgcn2d"],
        "encoders_missing": [],
        "engines": {},
        "glosses": 12,
        "gallery": "my-signs",
        "utc_of_zero_us": 0,
    }
    return Status(**{**HEADER, **fields, **changes})


def detection(gloss: str = "HELLO", start_s: float = 12.4, end_s: float = 13.02, **changes: Any) -> Detection:
    """One spotted sign."""
    fields: dict[str, Any] = {
        "id": "0-1",
        "gloss": gloss,
        "score": 0.834,
        "confidence": 0.94,
        "start_s": start_s,
        "end_s": end_s,
        "peak_s": (start_s + end_s) / 2,
        "runner_up": RunnerUp(gloss="GOODBYE", score=0.61),
        "per_encoder": {"slgcn2d": 0.834},
        "processing_ms": 41.0,
        "lag_ms": 230.0,
    }
    return Detection(**{**HEADER, **fields, **changes})


def hypothesis(text: str, utterance: int = 0, state: str = "stable", **changes: Any) -> Hypothesis:
    """A running transcript."""
    fields: dict[str, Any] = {
        "utterance": utterance,
        "revision": 0,
        "state": state,
        "glosses": [
            HypothesisGloss(gloss=gloss, start_s=0.0, end_s=0.5, confidence=0.9) for gloss in text.split()
        ],
        "text": text,
        "source": "detections",
        "lag_ms": None,
    }
    return Hypothesis(**{**HEADER, **fields, **changes})


def observation(
    image: np.ndarray[Any, np.dtype[np.uint8]], landmarks: Landmarks, **changes: Any
) -> Observation:
    """A moment at stream second 13.2, shortly after a detection."""
    frame = Frame(image=image, index=396, pts_s=13.2, captured_ns=0, connection=0)
    tick = Tick(index=330, segment=0, landmarks=landmarks, interpolated=False, lost=False, captured_ns=0)
    fields: dict[str, Any] = {
        "frame": frame,
        "tick": tick,
        "bars": (Bar("HELLO", 0.83, 0.7), Bar("GOODBYE", 0.61, 0.72), Bar("FRIEND", 0.32, 0.66)),
        "detections": (detection("GOODBYE", 8.0, 8.6), detection()),
        "status": status(),
        "transcript": hypothesis("FRIEND HELLO"),
    }
    return Observation(**{**fields, **changes})
