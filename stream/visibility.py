"""What a user gets wrong first: nobody in view, no raised hand, or a person cut off at the frame's edge."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np

from engines.landmarks import Landmarks

View = Literal["ok", "no person", "no raised hand", "cut off", "unknown"]

HINTS: dict[View, str] = {
    "ok": "",
    "unknown": "",
    "no person": "nobody is seen: step in front of the camera, with light on the face",
    "no raised hand": "no hand is raised: signs are seen between hip and head",
    "cut off": "part of the head or of the shoulders is outside the picture: step back or move the camera",
}

NOSE, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_WRIST, RIGHT_WRIST = 0, 11, 12, 15, 16
RESTING = 1.35
"""Shoulder widths below the shoulders from which a hand counts as resting, as when a clip is trimmed."""
PERSON_S = 1.0
HAND_S = 5.0


class ViewMonitor:
    """Says from the newest ticks what the camera sees of the person."""

    def __init__(self) -> None:
        self._person: deque[bool] = deque(maxlen=int(PERSON_S * 25))
        self._inside: deque[bool] = deque(maxlen=int(PERSON_S * 25))
        self._hand: deque[bool] = deque(maxlen=int(HAND_S * 25))

    def push(self, landmarks: Landmarks) -> None:
        """Take in one tick."""
        seen = landmarks.has("pose")
        self._person.append(seen)
        if seen:
            trunk = landmarks.pose[[NOSE, LEFT_SHOULDER, RIGHT_SHOULDER], :2]
            self._inside.append(bool(np.all((trunk > 0.0) & (trunk < 1.0))))
        self._hand.append(seen and _raised(landmarks))

    def view(self) -> View:
        """The verdict on the last second (five for a raised hand); "unknown" until there is enough to tell."""
        if len(self._person) < (self._person.maxlen or 0):
            return "unknown"
        if np.mean(self._person) < 0.5:
            return "no person"
        if np.mean(self._inside) < 0.5:
            return "cut off"
        if len(self._hand) == self._hand.maxlen and not any(self._hand):
            return "no raised hand"
        return "ok"


def _raised(landmarks: Landmarks) -> bool:
    """Whether a hand is seen that is not resting: by its wrist's height against the shoulders."""
    places = landmarks.pose[:, :2] * (landmarks.width, landmarks.height)
    left, right = places[LEFT_SHOULDER], places[RIGHT_SHOULDER]
    lowest = (left[1] + right[1]) / 2 + RESTING * float(np.linalg.norm(left - right))
    hands = (("left_hand", LEFT_WRIST), ("right_hand", RIGHT_WRIST))
    return any(landmarks.has(hand) and bool(places[wrist, 1] < lowest) for hand, wrist in hands)
