"""Signs by their phonology: handshape, location, orientation, movement, the part of the second hand, and the face.

The parameters are those by which sign languages are described (Stokoe 1960; HamNoSys, Hanke 2004). The signs in
`lexicon.toml` are made up: they belong to no natural language, and their glosses are only names.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from calibration.synthesis.handshapes import SHAPES
from engines.errors import ConfigError

Hands = Literal["one", "mirror", "parallel", "alternate", "base"]
"""One hand; both as mirror images; both in the same direction; both in turn; the second one as a still base."""
Contact = Literal["palm", "tip", "thumb", "knuckles", "edge"]
Movement = Literal[
    "hold",
    "straight",
    "arc",
    "circle",
    "zigzag",
    "tap",
    "back-and-forth",
    "twist",
    "nod",
    "wiggle",
    "open-close",
]

HEAD = {  # from the nose, in shoulder widths: to the dominant side, forwards, up
    "forehead": (0.0, 0.03, 0.22), "temple": (0.24, -0.08, 0.12), "eye": (0.10, 0.05, 0.10), "nose": (0.0, 0.05, 0.0),
    "cheek": (0.20, -0.04, -0.03), "ear": (0.28, -0.24, 0.02), "mouth": (0.0, 0.05, -0.12), "chin": (0.0, 0.03, -0.22),
    "neck": (0.0, -0.05, -0.40), "head-top": (0.0, -0.15, 0.46), "before-face": (0.08, 0.40, 0.0),
    "beside-head": (0.55, 0.05, 0.05),
}  # fmt: skip
TRUNK = {  # from the middle of the shoulders, the same
    "shoulder": (0.40, 0.14, 0.02), "other-shoulder": (-0.42, 0.20, 0.0), "chest": (0.0, 0.32, -0.30),
    "chest-side": (0.28, 0.30, -0.28), "other-chest": (-0.26, 0.32, -0.28), "belly": (0.0, 0.36, -0.80),
    "waist": (0.40, 0.30, -0.85), "other-arm": (-0.60, 0.22, -0.35), "neutral": (0.18, 0.70, -0.42),
    "neutral-side": (0.60, 0.55, -0.35), "neutral-other": (-0.25, 0.65, -0.40), "neutral-high": (0.40, 0.60, 0.02),
    "neutral-low": (0.20, 0.60, -0.75), "neutral-far": (0.25, 1.00, -0.25), "other-palm": (-0.05, 0.62, -0.55),
    "middle": (0.0, 0.62, -0.45),
}  # fmt: skip
ARM = (
    "other-elbow", "other-elbow-inside", "other-forearm", "other-forearm-inside", "other-wrist", "other-wrist-inside",
    "other-hand-back", "other-fingertips", "other-thumb",
)  # fmt: skip
"""On the other arm, which is the base; a forearm's and a wrist's inside is the palm's side."""
PLACES: tuple[str, ...] = (*HEAD, *TRUNK, *ARM)


DIRECTIONS = {
    "up": (0, 0, 1), "down": (0, 0, -1), "forward": (0, 1, 0), "back": (0, -1, 0), "in": (-1, 0, 0), "out": (1, 0, 0),
}  # fmt: skip
"""To the dominant side, forwards, up."""

FACES: dict[str, dict[str, float]] = {
    "": {},
    "brows-up": {"browInnerUp": 1.0, "browOuterUpLeft": 0.9, "browOuterUpRight": 0.9},
    "brows-down": {"browDownLeft": 1.0, "browDownRight": 1.0},
    "open": {"jawOpen": 0.5},
    "pucker": {"mouthPucker": 0.9},
    "smile": {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8},
    "puff": {"cheekPuff": 0.9},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignForm:
    """How one sign is made. Places and directions are the dominant hand's; the second hand follows from `hands`."""

    gloss: str
    shape: str
    at: str
    hands: Hands = "one"
    shape_end: str = ""  # "" keeps the shape
    to: str = ""  # a second place: the stroke goes from `at` to there
    contact: Contact = "palm"  # the part of the hand that is at the place
    fingers: str = "up"  # where the fingers point: one or two of `DIRECTIONS` joined by +
    palm: str = "forward"  # where the palm looks
    fingers_end: str = ""
    palm_end: str = ""
    move: Movement = "hold"
    along: str = "forward"  # the movement's direction, or a circle's first direction
    reach: float = 0.3  # shoulder widths
    repeats: int = 1
    base_shape: str = "flat"
    base_fingers: str = "in+forward"
    base_palm: str = "up"
    face: str = ""

    def __post_init__(self) -> None:
        for name, known in (("shape", SHAPES), ("at", PLACES), ("base_shape", SHAPES), ("face", FACES)):
            _known(self.gloss, name, getattr(self, name), known)
        for name, known in (("shape_end", SHAPES), ("to", PLACES)):
            if getattr(self, name):
                _known(self.gloss, name, getattr(self, name), known)
        for name in ("fingers", "palm", "along", "base_fingers", "base_palm"):
            _leads_somewhere(self.gloss, name, getattr(self, name))
        for name in ("fingers_end", "palm_end"):
            if getattr(self, name):
                _leads_somewhere(self.gloss, name, getattr(self, name))
        for fingers, palm in (
            (self.fingers, self.palm),
            (self.fingers_end or self.fingers, self.palm_end or self.palm),
            (self.base_fingers, self.base_palm),
        ):
            if abs(float(np.dot(direction(fingers), direction(palm)))) > 0.99:
                raise ConfigError(
                    f"sign {self.gloss}: a palm cannot look {palm} while the fingers point {fingers}"
                )
        _known(self.gloss, "move", self.move, dict.fromkeys(get_args(Movement)))
        _known(self.gloss, "hands", self.hands, dict.fromkeys(get_args(Hands)))
        _known(self.gloss, "contact", self.contact, dict.fromkeys(get_args(Contact)))
        if self.hands != "base" and {self.at, self.to} & set(ARM):
            place = self.at if self.at in ARM else self.to
            raise ConfigError(
                f"sign {self.gloss}: {place} is on the other arm, which is held out as a base: "
                f"hands must be base, not {self.hands}"
            )
        if (
            isinstance(self.reach, bool)
            or not isinstance(self.reach, int | float)
            or not 0 <= self.reach <= 2
        ):
            raise ConfigError(
                f"sign {self.gloss}: reach is {self.reach!r}, but must be shoulder widths, 0 to 2"
            )
        if type(self.repeats) is not int or not 1 <= self.repeats <= 9:
            raise ConfigError(
                f"sign {self.gloss}: repeats is {self.repeats!r}, but must be a number from 1 to 9"
            )


def _known(gloss: str, name: str, value: object, known: Collection[Any]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"sign {gloss}: {name} is {value!r}, but must be one of {', '.join(known)}")


def _leads_somewhere(gloss: str, name: str, words: object) -> None:
    for word in words.split("+") if isinstance(words, str) else [words]:
        _known(gloss, name, word, DIRECTIONS)
    if not np.any(np.sum([DIRECTIONS[word] for word in str(words).split("+")], axis=0)):
        raise ConfigError(f"sign {gloss}: {name} is {words!r}, which leads nowhere")


def direction(words: str) -> tuple[float, float, float]:
    """`up+in` and the like as a unit vector: to the dominant side, forwards, up."""
    total = np.sum([DIRECTIONS[word] for word in words.split("+")], axis=0)
    x, y, z = total / np.linalg.norm(total)
    return float(x), float(y), float(z)


def read_lexicon(path: Path | None = None) -> dict[str, SignForm]:
    """Read signs from their text form.

    Args:
        path: of a TOML file with one table a gloss; None for the built-in lexicon of 60 made-up signs.

    Raises:
        ConfigError: the file cannot be read, or a sign in it has an unknown value; the message names it.
    """
    path = path or Path(__file__).with_name("lexicon.toml")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        forms = {gloss: SignForm(gloss=gloss, **values) for gloss, values in tables.items()}
    except (OSError, ValueError, TypeError) as error:  # not there, no TOML or no text, other fields
        raise ConfigError(f"{path} is no lexicon: {error}") from error
    if not forms:
        raise ConfigError(f"{path} is no lexicon: there is no sign in it")
    return forms


def write_toml(form: SignForm) -> str:
    """One sign as a line of TOML, defaults left out."""
    parts = []
    for one in fields(form):
        name, value = one.name, getattr(form, one.name)
        if name == "gloss" or value == one.default:
            continue
        parts.append(f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}")
    return f"{form.gloss} = {{ {', '.join(parts)} }}"


@dataclass(slots=True)
class LexiconSampler:
    """Draws signs that are all told apart: no two share more than all but two of their main parameters."""

    seed: int
    prefix: str = "S"
    _taken: list[tuple[str, ...]] = field(default_factory=list)

    def draw(self, count: int) -> list[SignForm]:
        """`count` signs; the same seed gives the same signs."""
        rng = np.random.default_rng([self.seed, 2])
        forms: list[SignForm] = []
        numbers: dict[str, int] = {}
        taken = np.array(
            [[numbers.setdefault(word, len(numbers)) for word in key] for key in self._taken], np.int32
        )
        taken = np.concatenate([taken.reshape(-1, 9), np.zeros((count, 9), np.int32)])
        while len(forms) < count:
            form = _random_form(rng, f"{self.prefix}{self.seed}-{len(forms):04}")
            key = main_parameters(form)
            own = np.array([numbers.setdefault(word, len(numbers)) for word in key], np.int32)
            if ((taken[: len(self._taken)] != own).sum(1) >= 2).all():
                taken[len(self._taken)] = own
                self._taken.append(key)
                forms.append(form)
        return forms


def main_parameters(form: SignForm) -> tuple[str, ...]:
    """What tells signs apart; a minimal pair differs in one of these."""
    return (
        form.shape,
        form.shape_end,
        form.at,
        form.to,
        form.fingers,
        form.palm,
        form.move,
        form.along,
        form.hands,
    )


def _random_form(rng: np.random.Generator, gloss: str) -> SignForm:
    shapes = [name for name in SHAPES if name != "relaxed"]
    hands = str(
        rng.choice(["one", "mirror", "parallel", "alternate", "base"], p=[0.45, 0.2, 0.08, 0.1, 0.17])
    )
    places = [name for name in (*HEAD, *TRUNK) if name != "other-palm"]
    at = str(rng.choice(["other-palm", *ARM] if hands == "base" else places))
    if hands in ("mirror", "parallel", "alternate"):
        at = str(
            rng.choice(
                ["chest-side", "neutral", "neutral-side", "neutral-high", "neutral-low", "temple", "cheek"]
            )
        )
    fingers = str(rng.choice(["up", "up+in", "forward", "in", "up+forward", "forward+in", "down+forward"]))
    palms = [
        p for p in ("forward", "back", "in", "down", "up", "in+back", "in+forward") if _across(fingers, p)
    ]
    moves = list(get_args(Movement))
    form = SignForm(
        gloss=gloss,
        shape=str(rng.choice(shapes)),
        at=at,
        hands=hands,  # type: ignore[arg-type]
        contact=str(rng.choice(["tip", "palm"])) if at in HEAD or at in ARM else "palm",  # type: ignore[arg-type]
        fingers=fingers,
        palm=str(rng.choice(palms)),
        move=str(rng.choice(moves)),  # type: ignore[arg-type]
        along=str(rng.choice(["forward", "in", "out", "up", "down", "forward+out", "up+in"])),
        reach=float(np.round(rng.uniform(0.25, 0.6), 2)),
        repeats=int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15])),
        base_shape=str(rng.choice(["flat", "fist", "index", "five"], p=[0.55, 0.25, 0.1, 0.1])),
        base_palm="down"
        if at in ("other-elbow", "other-forearm", "other-wrist", "other-hand-back")
        else "up",
    )
    if form.move in ("straight", "arc", "open-close") and rng.random() < 0.4:
        form = replace(form, shape_end=str(rng.choice(shapes)))
    if form.move in ("straight", "arc") and hands == "one" and rng.random() < 0.3:
        form = replace(form, to=str(rng.choice([name for name in places if name != at])))
    return form


def _across(fingers: str, palm: str) -> bool:
    """Whether fingers and palm can point so at once: not nearly along each other."""
    return abs(float(np.dot(direction(fingers), direction(palm)))) < 0.75
