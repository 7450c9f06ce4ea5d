"""What a user gets wrong first: nobody in view, no raised hand, or a person or a hand cut off at the frame's edge."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.landmarks import LEFT_SHOULDER, RESTING, RIGHT_SHOULDER, Landmarks

View = Literal["ok", "no person", "no raised hand", "cut off", "hand outside", "unknown"]

HINTS: dict[View, str] = {
    "ok": "",
    "unknown": "",
    "no person": "nobody is seen: step in front of the camera, with light on the face",
    "no raised hand": "no hand is raised: signs are seen between hip and head",
    "cut off": "part of the head or of the shoulders is outside the picture: step back or move the camera",
    "hand outside": "a raised hand leaves the picture: step back or move the camera",
}

NOSE, LEFT_WRIST, RIGHT_WRIST = 0, 15, 16
PERSON_S = 1.0
HAND_S = 5.0
SIGNING = 1.0
"""Shoulder widths below the shoulders above which a hand that is not seen must be signing: it may rest at the waist."""
OUTSIDE_S = 3.0
OUTSIDE_SHARE = 0.2
"""Share of the last three seconds that a raised hand has to be outside; a single sign at the edge is none of it."""


class ViewMonitor:
    """Says from the newest ticks what the camera sees of the person."""

    def __init__(self) -> None:
        self._person: deque[bool] = deque(maxlen=int(PERSON_S * 25))
        self._inside: deque[bool] = deque(maxlen=int(PERSON_S * 25))
        self._hand: deque[bool] = deque(maxlen=int(HAND_S * 25))
        self._outside: deque[bool] = deque(maxlen=int(OUTSIDE_S * 25))

    def push(self, landmarks: Landmarks) -> None:
        """Take in one tick."""
        seen = landmarks.has("pose")
        self._person.append(seen)
        if seen:
            trunk = landmarks.pose[[NOSE, LEFT_SHOULDER, RIGHT_SHOULDER], :2]
            self._inside.append(bool(np.all((trunk > 0.0) & (trunk < 1.0))))
        self._hand.append(seen and raised(landmarks))
        self._outside.append(seen and _outside(landmarks))

    def view(self) -> View:
        """The verdict on the last second (five for a raised hand); "unknown" until there is enough to tell."""
        if len(self._person) < (self._person.maxlen or 0):
            return "unknown"
        if np.mean(self._person) < 0.5:
            return "no person"
        if np.mean(self._inside) < 0.5:
            return "cut off"
        if sum(self._outside) >= OUTSIDE_SHARE * (self._outside.maxlen or 0):
            return "hand outside"
        if len(self._hand) == self._hand.maxlen and not any(self._hand):
            return "no raised hand"
        return "ok"


def raised(landmarks: Landmarks) -> bool:
    """Whether a hand is seen that is not resting: by its wrist's height against the shoulders."""
    places, lowest = _places(landmarks, RESTING)
    hands = (("left_hand", LEFT_WRIST), ("right_hand", RIGHT_WRIST))
    return any(landmarks.has(hand) and bool(places[wrist, 1] < lowest) for hand, wrist in hands)


def _outside(landmarks: Landmarks) -> bool:
    """Whether a wrist that cannot be resting lies beside, above or below the picture, where the body says it must be."""
    places, lowest = _places(landmarks, SIGNING)
    wrists = places[[LEFT_WRIST, RIGHT_WRIST]]
    beyond = ((wrists < 0) | (wrists > (landmarks.width, landmarks.height))).any(1)
    return bool((beyond & (wrists[:, 1] < lowest)).any())


def _places(landmarks: Landmarks, below: float) -> tuple[NDArray[np.float32], float]:
    """The body's landmarks (33, 2) in pixels, and the height that far below the shoulders."""
    places = landmarks.pose[:, :2] * np.array([landmarks.width, landmarks.height], np.float32)
    left, right = places[LEFT_SHOULDER], places[RIGHT_SHOULDER]
    return places, float((left[1] + right[1]) / 2 + below * np.linalg.norm(left - right))
