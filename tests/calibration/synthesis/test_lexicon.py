"""The lexicon is what a person reads and edits: it must be whole, and say what is wrong with an entry."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from calibration.synthesis.handshapes import SHAPES
from calibration.synthesis.lexicon import (
    ARM,
    PLACES,
    LexiconSampler,
    SignForm,
    direction,
    main_parameters,
    read_lexicon,
    write_toml,
)
from engines.errors import ConfigError


def test_the_inventories_are_as_large_as_promised() -> None:
    assert len(read_lexicon()) == 60
    assert len(SHAPES) >= 30
    assert len(PLACES) >= 20
    assert len(ARM) >= 8


def test_every_handshape_is_made_of_unit_vectors_and_no_two_are_alike() -> None:
    for shape in SHAPES.values():
        np.testing.assert_allclose(np.linalg.norm(shape.directions, axis=1), 1, atol=1e-6)
    for one, two in combinations(SHAPES.values(), 2):
        turned = np.degrees(np.arccos(np.clip((one.directions * two.directions).sum(1), -1, 1)))
        assert turned.max() > 8, f"{one.name} and {two.name} are the same hand"


def test_no_hand_written_sign_asks_for_fingers_and_palm_along_each_other() -> None:
    for form in read_lexicon().values():
        for fingers, palm in ((form.fingers, form.palm), (form.fingers_end, form.palm_end)):
            if fingers and palm:
                assert abs(np.dot(direction(fingers), direction(palm))) < 0.75, form.gloss


@pytest.mark.parametrize(
    "form",
    [*list(read_lexicon().values())[::7], SignForm(gloss="X", shape="fist", at="other-wrist", hands="base")],
    ids=lambda form: form.gloss,
)
def test_the_text_form_comes_back(form: SignForm, tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(write_toml(form))
    assert read_lexicon(tmp_path / "one.toml") == {form.gloss: form}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('shape = "fits", at = "chin"', "shape is 'fits', but must be one of flat"),  # a misspelt handshape
        ('shape = "fist", at = "knee"', "at is 'knee'"),  # a place that hands do not go to
        ('shape = "fist", at = "chin", move = "jump"', "move is 'jump'"),
        ('shape = "fist", at = "chin", along = "up+north"', "along is 'north'"),
        ('shape = "fist", at = "chin", along = "up+down"', "leads nowhere"),  # one takes the other back
        ('shape = "fist", at = "chin", fingers = "up", palm = "down"', "palm cannot look down"),
        ('shape = "fist", at = "chin", palm = ""', "palm is ''"),
        ('shape = "fist", at = "chin", fingers = 2', "fingers is 2"),
        ('shape = ["fist"], at = "chin"', "shape is"),  # a list for a word
        ('shape = "fist", at = "chin", reach = "far"', "shoulder widths"),
        ('shape = "fist", at = "chin", reach = -1', "shoulder widths"),
        ('shape = "fist", at = "chin", repeats = 0', "from 1 to 9"),
        ('shape = "fist", at = "chin", repeats = 1.5', "from 1 to 9"),
        ('shape = "fist", at = "chin", speed = 2', "speed"),  # a field that does not exist
        ('at = "chin"', "shape"),  # a field that is missing
        ('shape = "fist", at = "other-wrist"', "hands must be base, not one"),  # nothing is held out to it
        (
            'shape = "fist", at = "chin", to = "other-elbow", hands = "mirror"',
            "other-elbow is on the other arm",
        ),
        ('shape = "fist" at', "no lexicon"),  # no TOML
    ],
)
def test_a_wrong_entry_is_named(entry: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text(f"MINE = {{ {entry} }}\n")
    with pytest.raises(ConfigError, match=said.replace("+", r"\+")):
        read_lexicon(tmp_path / "wrong.toml")


def test_a_lexicon_without_signs_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("# nothing yet\n")
    with pytest.raises(ConfigError, match=r"empty\.toml is no lexicon"):
        read_lexicon(tmp_path / "empty.toml")


def test_thousands_of_drawn_signs_are_told_apart() -> None:
    forms = LexiconSampler(5).draw(2000)
    keys = [main_parameters(form) for form in forms]
    assert len({form.gloss for form in forms}) == 2000
    rng = np.random.default_rng(0)
    for _ in range(20_000):
        one, two = rng.choice(len(keys), 2, replace=False)
        assert sum(a != b for a, b in zip(keys[one], keys[two], strict=True)) >= 2


def test_the_same_seed_draws_the_same_signs_and_another_seed_others() -> None:
    assert LexiconSampler(5).draw(50) == LexiconSampler(5).draw(50)
    first = {main_parameters(form) for form in LexiconSampler(5).draw(500)}
    other = {main_parameters(form) for form in LexiconSampler(6).draw(500)}
    assert len(first & other) <= 2, "a sign may come up twice among millions"
