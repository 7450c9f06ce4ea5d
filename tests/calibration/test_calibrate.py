"""If these fail, a user who asked for two false alarms an hour gets more, or is promised what the background cannot tell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calibration.calibrate import needed_hours, own_glosses
from run_stream import main
from stream.gallery import Gallery
from tests.calibration.hand_made import encoder, movement, rest, saved, taught

GLOSSES = ("HELLO", "NO", "THANKS", "YES")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder(tmp_path_factory.mktemp("calibrate") / "encoder")


@pytest.fixture
def gallery(tmp_path: Path, bundle: Path) -> Path:
    taught(tmp_path / "g", {gloss: movement(gloss) for gloss in GLOSSES}, [bundle])
    return tmp_path / "g"


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A minute of other movements, and HELLO four times."""
    ways = [rest(30)]
    for number in range(22):
        way = movement("HELLO", angle=15) if number % 6 == 3 else movement(f"talk {number}")
        ways += [way, rest(50)]
    return saved(tmp_path / "talk.npz", ways, seed=9)


def words(gallery: Path, bundle: Path, *more: str) -> list[str]:
    return ["calibrate", "--gallery", str(gallery), "--encoder", str(bundle), *more]


def alarms(gallery: Path, bundle: Path, talk: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """What the live path reports of the background, by gloss."""
    capsys.readouterr()
    command = [
        "evaluate",
        "background",
        "--gallery",
        str(gallery),
        "--encoder",
        str(bundle),
        "--json",
        str(talk),
    ]
    assert main(command) == 0
    found: dict[str, int] = json.loads(capsys.readouterr().out)["background"]["by_gloss"]
    return found


def test_the_live_path_then_gives_no_more_than_was_allowed(
    gallery: Path, bundle: Path, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Gallery.load(gallery)
    # 60 s of background, 240 an hour: 4 events are to be expected, the thresholds stand above the fourth
    assert main(words(gallery, bundle, "--background", str(talk), "--false-alarms-per-hour", "240")) == 0
    assert "signs calibrated to 240 false alarms an hour" in capsys.readouterr().out
    after = Gallery.load(gallery)
    assert after.calibration is not None
    assert after.calibration.background == ["talk.npz"]
    assert all(sign.calibrated for sign in after.signs)
    assert after.takes == before.takes
    assert np.array_equal(after.exemplars["slgcn2d"].vectors, before.exemplars["slgcn2d"].vectors)
    assert sum(alarms(gallery, bundle, talk, capsys).values()) <= 3


def test_a_background_that_comes_near_no_sign_is_said(
    gallery: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thresholds go down by it, and other signs are taken for these."""
    hanging = saved(tmp_path / "hanging.npz", [rest(1500)], seed=3)
    assert main(words(gallery, bundle, "--background", str(hanging), "--false-alarms-per-hour", "240")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "4 of 4 thresholds are lower than before" in said
    assert "add signing to --background" in said


def test_signs_that_differ_too_little_are_named(
    tmp_path: Path, bundle: Path, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movements = {"EAT": movement("EAT"), "FOOD": movement("EAT", angle=4), "NO": movement("NO")}
    taught(tmp_path / "g", movements, [bundle])
    assert (
        main(words(tmp_path / "g", bundle, "--background", str(talk), "--false-alarms-per-hour", "240")) == 0
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "EAT and FOOD differ too little (cosine 0.9" in said
    assert said.count("treat as one?") == 1, "NO is another sign"


def test_a_sign_is_no_background_for_itself(
    gallery: Path, bundle: Path, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rate = ("--false-alarms-per-hour",)
    assert (
        main(words(gallery, bundle, "--background", str(talk), *rate, "300", "--contains", "talk.npz=HELLO"))
        == 0
    )
    assert "talk.npz counts as no background for HELLO" in capsys.readouterr().out
    assert alarms(gallery, bundle, talk, capsys)["HELLO"] == 4  # all that are there
    assert main(words(gallery, bundle, "--background", str(talk), *rate, "200")) == 0  # two events
    assert alarms(gallery, bundle, talk, capsys).get("HELLO", 0) < 4


def test_a_rate_that_the_background_cannot_tell_is_refused_with_what_is_needed(
    gallery: Path, bundle: Path, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Gallery.load(gallery)
    assert needed_hours(2.0) == pytest.approx(1.5)
    assert main(words(gallery, bundle, "--background", str(talk))) == 1
    told = capsys.readouterr().err
    assert "1.50 hours are needed" in told
    assert "3 / rate" in told
    assert Gallery.load(gallery).signs == before.signs


def test_a_nudge_outlives_a_calibration(
    gallery: Path, bundle: Path, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nudge = ["gallery", "nudge", "--gallery", str(gallery)]
    assert main([*nudge, "YES", "+0.3"]) == 0
    assert "detected less easily" in capsys.readouterr().out
    assert main(words(gallery, bundle, "--background", str(talk), "--false-alarms-per-hour", "240")) == 0
    assert {sign.gloss: sign.nudge for sign in Gallery.load(gallery).signs}["YES"] == pytest.approx(0.3)
    assert main([*nudge, "YES", "0"]) == 0
    assert all(sign.nudge == 0 for sign in Gallery.load(gallery).signs)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--false-alarms-per-hour", "0"], "more than 0"),
        (["--contains", "other.npz=HELLO"], "no such file in the background"),
        (["--contains", "talk.npz=NOBODY"], "has no NOBODY"),
        (["--contains", "talk"], "FILE=GLOSS"),
    ],
)
def test_what_cannot_be_used_is_said(
    gallery: Path, bundle: Path, talk: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main(words(gallery, bundle, "--background", str(talk), *more)) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("word", ["abc", "1e9", "99"])
def test_a_nudge_has_to_be_a_small_number(
    gallery: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert main(["gallery", "nudge", "--gallery", str(gallery), "YES", word]) == 1
    assert "is no number from" in capsys.readouterr().err


def test_files_tell_by_their_names_which_signs_they_show(gallery: Path) -> None:
    edition = Gallery.load(gallery)
    files = [Path("say-hello.mp4"), Path("thankyou.mp4"), Path("talk.mp4")]
    found = own_glosses(files, edition, {})
    assert [sorted(found[path]) for path in files] == [["HELLO"], [], []]
