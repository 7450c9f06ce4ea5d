"""If these fail, exemplars are taken from the wrong place, twice, or cannot be taken away again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from calibration.enrol import rebuild
from calibration.transfer import transfer
from engines.landmarks import PARTS
from run_stream import main
from stream.demo import gallery_clips
from stream.gallery import Gallery
from tests.calibration.hand_made import encoder, movement, rest, saved, taught

GLOSSES = ("HELLO", "NO", "THANKS", "YES")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder(tmp_path_factory.mktemp("transfer") / "encoder")


@pytest.fixture
def gallery(tmp_path: Path, bundle: Path) -> Path:
    taught(tmp_path / "g", {gloss: movement(gloss) for gloss in GLOSSES}, [bundle])
    return tmp_path / "g"


SIGNED = (("HELLO", 30), ("YES", 86), ("HELLO", 142))
"""What the sentences show: gloss and first tick."""


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    ways = [rest(30)]
    for gloss, _ in SIGNED:
        ways += [movement(gloss, angle=20), rest(40)]  # a little unlike the enrolled ones
    return saved(tmp_path / "sentences.npz", ways, seed=5)


def words(gallery: Path, bundle: Path, *more: str) -> list[str]:
    return ["adapt", "--gallery", str(gallery), "--encoder", str(bundle), *more]


def test_matches_are_taken_where_the_signs_are_and_the_enrolled_exemplars_stay(
    gallery: Path, bundle: Path, sentences: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Gallery.load(gallery)
    assert main(words(gallery, bundle, "--from", str(sentences))) == 0
    text = capsys.readouterr().out
    after = Gallery.load(gallery)
    assert after.takes[:4] == before.takes
    vectors = after.exemplars["slgcn2d"].vectors
    assert np.array_equal(vectors[:4], before.exemplars["slgcn2d"].vectors)
    assert len(vectors) == 7
    found = [take for take in after.takes if take.transferred is not None]
    assert sorted(take.gloss for take in found) == ["HELLO", "HELLO", "YES"]
    for take in found:
        where = take.transferred
        assert where is not None
        assert where.video == "sentences.npz"
        assert any(
            gloss == take.gloss
            and abs(where.first_tick - first) <= 4
            and abs(where.last_tick - first - 16) <= 4
            for gloss, first in SIGNED
        )
        assert 0.5 < where.score <= 1
        kept = after.landmarks(take)
        assert len(kept) == where.last_tick - where.first_tick
        with np.load(sentences) as whole:
            for name in PARTS:
                part = whole[name][where.first_tick : where.last_tick].astype(np.float32)
                assert np.array_equal(getattr(kept, name), part, equal_nan=True)
    assert "HELLO: 2 taken" in text
    assert "of sentences.npz" in text
    assert "NO: none; " in text
    assert "THANKS: none; " in text
    assert "3 exemplars of 2 signs added" in text


def test_taken_away_the_gallery_is_what_it_was(
    gallery: Path, bundle: Path, sentences: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Gallery.load(gallery)
    files = sorted(path.name for path in (gallery / "landmarks").iterdir())
    assert main(words(gallery, bundle, "--from", str(sentences))) == 0
    assert main(words(gallery, bundle, "--remove")) == 0
    assert "3 transferred exemplars taken away: HELLO 2, YES 1" in capsys.readouterr().out
    after = Gallery.load(gallery)
    assert after.takes == before.takes
    assert after.signs == before.signs
    assert np.array_equal(after.exemplars["slgcn2d"].vectors, before.exemplars["slgcn2d"].vectors)
    assert sorted(path.name for path in (gallery / "landmarks").iterdir()) == files
    assert main(words(gallery, bundle, "--remove")) == 0
    assert "nothing in" in capsys.readouterr().out


def test_the_same_video_gives_nothing_twice_under_another_name_neither(
    gallery: Path, bundle: Path, sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(gallery, bundle, "--from", str(sentences))) == 0
    shutil.copy(sentences, tmp_path / "copy.npz")
    assert main(words(gallery, bundle, "--from", str(tmp_path / "copy.npz"), str(sentences))) == 1
    assert "nothing was taken" in capsys.readouterr().out
    assert len(Gallery.load(gallery).takes) == 7


def test_of_many_matches_the_k_best_are_taken(gallery: Path, bundle: Path, tmp_path: Path) -> None:
    ways = [rest(30)]
    for angle in (35, 5, 20):
        ways += [movement("HELLO", angle=angle), rest(40)]
    report = transfer(
        gallery, [saved(tmp_path / "many.npz", ways)], encoders=[str(bundle)], k=2, min_score=0.5
    )
    assert [one.first_tick for one in report.taken["HELLO"]] == pytest.approx([86, 142], abs=4)


def test_a_sign_that_does_not_occur_takes_nothing(
    gallery: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = saved(tmp_path / "other.npz", [rest(30), movement("WEATHER"), rest(60)])
    before = Gallery.load(gallery)
    assert main(words(gallery, bundle, "--from", str(other))) == 1
    text = capsys.readouterr().out
    assert "nothing was taken: the gallery is as it was" in text
    assert text.count(": none; ") == 4
    assert Gallery.load(gallery).takes == before.takes


def test_a_score_of_the_users_choice_refuses_more(
    gallery: Path, bundle: Path, sentences: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(gallery, bundle, "--from", str(sentences), "--min-score", "0.999")) == 1
    assert "needs 1.00" in capsys.readouterr().out


def test_a_window_that_is_more_like_another_sign_is_not_taken(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near = 0.8 * movement("HELLO") + 0.6 * movement("YES")
    taught(tmp_path / "g", {"HELLO": movement("HELLO"), "YES": movement("YES"), "NEAR": near}, [bundle])
    stream = saved(tmp_path / "stream.npz", [rest(30), movement("HELLO"), rest(30)])
    assert main(words(tmp_path / "g", bundle, "--from", str(stream), "--min-score", "0.6")) == 0
    text = capsys.readouterr().out
    assert "HELLO: 1 taken" in text
    assert "NEAR: none; its best window, at 1.2" in text
    assert "is more like HELLO" in text


def test_a_second_round_searches_with_what_the_first_one_took(
    gallery: Path, bundle: Path, tmp_path: Path
) -> None:
    ways = [rest(30), movement("HELLO", angle=25), rest(40), movement("HELLO", angle=50), rest(30)]
    stream = saved(tmp_path / "stream.npz", ways)  # cosines: 0.91 to the one before, 0.64 to the enrolled one
    once = transfer(gallery, [stream], encoders=[str(bundle)], min_score=0.75)
    assert [one.first_tick for one in once.taken["HELLO"]] == pytest.approx([30], abs=4)
    assert main(words(gallery, bundle, "--remove")) == 0
    twice = transfer(gallery, [stream], encoders=[str(bundle)], min_score=0.75, iterations=2)
    assert sorted(one.first_tick for one in twice.taken["HELLO"]) == pytest.approx([30, 86], abs=4)
    assert [one.gloss for one in Gallery.load(gallery).takes].count("HELLO") == 3


def test_embedding_again_needs_no_videos(
    gallery: Path, bundle: Path, sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(gallery, bundle, "--from", str(sentences))) == 0
    before = Gallery.load(gallery)
    sentences.unlink()
    rebuild(gallery, encoders=[str(bundle)])
    after = Gallery.load(gallery)
    assert after.takes == before.takes
    assert np.array_equal(after.exemplars["slgcn2d"].vectors, before.exemplars["slgcn2d"].vectors)
    assert main(["gallery", "list", "--gallery", str(gallery)]) == 0
    assert "1 + 2" in capsys.readouterr().out
    assert (
        main(["gallery", "show", "YES", "--gallery", str(gallery), "--output", str(tmp_path / "s.png")]) == 0
    )
    assert "of sentences.npz, posed by by hand, transferred, score" in capsys.readouterr().out


def test_exemplars_of_every_encoder_are_added(bundle: Path, sentences: Path, tmp_path: Path) -> None:
    both = [bundle, encoder(tmp_path / "second", name="other", seed=3)]
    taught(tmp_path / "g", {gloss: movement(gloss) for gloss in GLOSSES}, both)
    report = transfer(tmp_path / "g", [sentences], encoders=[str(one) for one in both])
    assert {gloss: len(taken) for gloss, taken in report.taken.items()} == {"HELLO": 2, "YES": 1}
    gallery = Gallery.load(tmp_path / "g")
    assert {name: len(one.vectors) for name, one in gallery.exemplars.items()} == {"slgcn2d": 7, "other": 7}


def test_what_was_edited_during_the_search_stays_edited(gallery: Path, bundle: Path, sentences: Path) -> None:
    def meanwhile(what: str, share: float) -> None:
        if share > 0.6 and "YES" in Gallery.load(gallery).glosses:
            Gallery.load(gallery).without(["YES"]).save()

    transfer(gallery, [sentences], encoders=[str(bundle)], progress=meanwhile)
    after = Gallery.load(gallery)
    assert after.glosses == ("HELLO", "NO", "THANKS")
    assert [take.gloss for take in after.takes if take.transferred] == ["HELLO", "HELLO"]


def test_a_video_is_searched_too(
    hello_gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(hello_gallery, tmp_path / "g")
    clip = gallery_clips()["HELLO"]
    assert main(["adapt", "--gallery", str(tmp_path / "g"), "--from", str(clip), "--k", "1"]) == 0
    assert "HELLO: 1 taken" in capsys.readouterr().out
    enrolled, found = Gallery.load(tmp_path / "g").takes
    assert found.transferred is not None
    middle = (found.transferred.first_tick + found.transferred.last_tick) / 2
    assert enrolled.first_tick <= middle <= enrolled.last_tick


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "give either --from VIDEO..., or --remove"),
        (["--remove", "--from", "x.mp4"], "give either --from VIDEO..., or --remove"),
        (["--from", "x.mp4", "--k", "0"], "--k 0: take 1 to 100"),
        (["--from", "x.mp4", "--iterations", "0"], "--iterations 0: 1 to 10 rounds"),
        (["--from", "x.mp4", "--min-score", "1.5"], "--min-score 1.5: it is a cosine"),
        (["--from", "x.mp4", "--min-score", "nan"], "--min-score nan"),
        (["--from", "gone.mp4"], "there is no file gone.mp4"),
        (["--from", "gone.npz"], "gone.npz holds no landmark track"),
        (["--from", "{garbage}"], "garbage.mp4 cannot be read as a video"),
        (["--from", "{foreign}"], "was posed by 'somebody'"),
    ],
)
def test_what_cannot_be_done_is_said(
    gallery: Path,
    bundle: Path,
    tmp_path: Path,
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "garbage.mp4").write_bytes(b"no video " * 500)
    foreign = saved(tmp_path / "foreign.npz", [rest(30)])
    with np.load(foreign) as data:
        np.savez(foreign, **{**data, "estimator": np.array("somebody")})
    places = {"garbage": str(tmp_path / "garbage.mp4"), "foreign": str(foreign)}
    assert main(words(gallery, bundle, *(word.format(**places) for word in more))) == 1
    assert message in capsys.readouterr().err
    assert len(Gallery.load(gallery).takes) == 4


def test_a_gallery_that_is_not_there_or_of_another_encoder_is_refused(
    gallery: Path, bundle: Path, sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tmp_path / "none", bundle, "--from", str(sentences))) == 1
    assert "there is no gallery at" in capsys.readouterr().err
    newer = encoder(tmp_path / "newer", seed=9)
    assert main(words(gallery, newer, "--from", str(sentences))) == 1
    assert "signspot gallery rebuild" in capsys.readouterr().err
    other = encoder(tmp_path / "other", name="other")
    assert main(words(gallery, other, "--from", str(sentences))) == 1
    assert "has exemplars for slgcn2d, in use is other" in capsys.readouterr().err
