"""The challenge's one-shot track: its files found, its pickles not trusted, its score reproduced on a miniature."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import stream.demo
from calibration.enrol import loaded_encoders
from calibration.evaluation.oslwl import NotTheChallenge, find_challenge, read_truth
from calibration.evaluation.spotting import Sign
from calibration.reproduce import Video, search
from engines.bundle import ModelBundle
from engines.encoders import find_bundle
from engines.errors import ConfigError
from engines.features import ANGLES, KEYPOINTS
from run_stream import main
from stream.gallery import Gallery
from stream.sources import read_frames
from tests.calibration.hand_made import ESTIMATOR, encoder, movement, rest, taught, track

ROWS = {"p01_n001": [[3, 400, 880], [12, 1000, 1500]], "p02_n001": [[3, 0, 480]]}


def laid_out(folder: Path, truth: object = ROWS) -> Path:
    """A split's folder with empty videos: only their names matter to finding them."""
    for name in ("VIDEOS/p01_n001.mp4", "VIDEOS/p02_n001.mp4", "QUERY/s03.mp4", "QUERY/s12.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "GT.pkl").write_bytes(pickle.dumps(truth))
    return folder


# -- the files -------------------------------------------------------------------------------------------------


def test_files_are_found_by_what_they_are(tmp_path: Path) -> None:
    found = find_challenge(laid_out(tmp_path))
    assert {sign: path.name for sign, path in found.queries.items()} == {"3": "s03.mp4", "12": "s12.mp4"}
    assert {name: path.name for name, path in found.videos.items()} == {
        "p01_n001": "p01_n001.mp4",
        "p02_n001": "p02_n001.mp4",
    }
    assert found.truth["p01_n001"] == (Sign("3", 0.4, 0.88), Sign("12", 1.0, 1.5))


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("gt.json", json.dumps({"a.mp4": [["COMER", 4560, 4920]]}).encode()),  # as JSON, signs by name
        ("gt.pkl", pickle.dumps({"a.mp4": [["COMER", 4560, 4920]]})),  # as Python's lists
        (
            "gt.pkl",
            pickle.dumps({"a.mp4": np.array([["COMER", 4560, 4920]], object)}),
        ),  # as an array of objects
        ("gt.pkl", pickle.dumps({"a.mp4": [("COMER", np.int64(4560), np.float32(4920))]})),  # numpy's numbers
    ],
)
def test_ground_truth_is_read_in_its_usual_forms(tmp_path: Path, name: str, raw: bytes) -> None:
    (tmp_path / name).write_bytes(raw)
    assert read_truth(tmp_path / name) == {"a.mp4": (Sign("COMER", 4.56, 4.92),)}


class _Code:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_code_in_a_ground_truth_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "gt.pkl").write_bytes(pickle.dumps({"a": _Code(tmp_path / "was-run")}))
    with pytest.raises(NotTheChallenge, match="would run code"):
        read_truth(tmp_path / "gt.pkl")
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("gt.pkl", b""),  # empty
        ("gt.pkl", pickle.dumps(ROWS)[:40]),  # cut off
        ("gt.json", b"no JSON"),
        ("gt.json", b"[1, 2]"),  # no videos
        ("gt.json", b'{"a": [[1, 2]]}'),  # no end
        ("gt.json", b'{"a": [[1, 500, 400]]}'),  # ends before it begins
    ],
)
def test_what_is_no_ground_truth_is_named(tmp_path: Path, name: str, raw: bytes) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(NotTheChallenge, match=f"{name} holds no ground truth"):
        read_truth(tmp_path / name)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda d: shutil.rmtree(d), "there is no folder"),
        (lambda d: (d / "GT.pkl").unlink(), "holds no ground truth.*--truth"),
        (lambda d: (d / "other.pkl").write_bytes(pickle.dumps(ROWS)), "more than one ground truth.*--truth"),
        (
            lambda d: (d / "VIDEOS/p02_n001.mp4").unlink(),
            r"1 of the ground truth's 2 videos.*p02_n001.*--videos",
        ),
        (lambda d: shutil.rmtree(d / "QUERY"), "found none: name it by --queries"),
        (lambda d: (d / "QUERY/s12.mp4").unlink(), "one clip named by the sign 12 is expected, found none"),
        (lambda d: (d / "QUERY/12.mp4").touch(), r"found 12\.mp4, s12\.mp4"),
    ],
)
def test_what_is_missing_is_said_and_how_to_name_it(
    tmp_path: Path, break_it: Callable[[Path], object], said: str
) -> None:
    folder = laid_out(tmp_path / "data")
    break_it(folder)
    with pytest.raises(NotTheChallenge, match=said):
        find_challenge(folder)


def test_files_elsewhere_can_be_named(tmp_path: Path) -> None:
    folder = laid_out(tmp_path / "data")
    shutil.move(folder / "QUERY", tmp_path / "clips")
    shutil.move(folder / "GT.pkl", tmp_path / "truth.pkl")
    found = find_challenge(folder, queries=tmp_path / "clips", truth=tmp_path / "truth.pkl")
    assert found.queries["3"] == tmp_path / "clips" / "s03.mp4"


def test_answers_of_an_earlier_run_are_not_taken_for_the_truth(tmp_path: Path) -> None:
    folder = laid_out(tmp_path)
    (folder / "oslwl").mkdir()
    (folder / "oslwl/answers.json").write_text(json.dumps(ROWS))
    assert len(find_challenge(folder).truth) == 2


# -- Top-K transfer, on hand-made signing ------------------------------------------------------------------------


def hand_made_videos() -> list[Video]:
    """YES further and further from how it was enrolled; in the last video another movement is nearer to that."""
    videos = []
    for number, (angle, other) in enumerate(
        ((0, movement("another")), (40, movement("another")), (85, movement("YES", angle=-50)))
    ):
        ways = [rest(30), other, rest(30), movement("YES", angle=angle), rest(30)]
        sign = Sign("YES", 76 * 0.04, 92 * 0.04)
        videos.append(Video(f"v{number}", f"{number}", track(ways, seed=number), (sign,)))
    return videos


@pytest.fixture(scope="module")
def hand_made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gallery, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("hand-made")
    bundle = encoder(folder / "encoder")
    gallery = taught(folder / "gallery", {gloss: movement(gloss) for gloss in ("NO", "YES")}, [bundle])
    return gallery, loaded_encoders(gallery, [str(bundle)], ESTIMATOR)


def test_matches_lead_to_signs_that_the_exemplar_alone_does_not(hand_made: Any) -> None:
    """What Top-K transfer is for: 85 degrees from the exemplar is too far, 45 from a match is not."""
    gallery, encoders = hand_made
    found = search(gallery, encoders, hand_made_videos(), k=2)
    assert found.taken == {"YES": 2, "NO": 0}
    assert found.fused.f1 < 0.8, "the last of three is found at the other movement"
    assert found.transferred.f1 > 0.9
    assert found.answers["v2"]["YES"].start_s == pytest.approx(76 * 0.04, abs=0.16)


def test_a_match_has_no_say_in_the_video_that_it_is_from(hand_made: Any) -> None:
    """It would find itself there, and be sure of it, right or wrong."""
    gallery, encoders = hand_made
    found = search(gallery, encoders, hand_made_videos()[2:], k=1)
    assert found.taken["YES"] == 1
    assert found.transferred == found.fused


# -- the score, on a miniature of the layout -------------------------------------------------------------------

SIGNS = {1: "SAD", 2: "THANKS", 3: "GOODBYE"}
LENGTH_S = 4.4


def first_seconds(source: Path, target: Path, seconds: float) -> None:
    with av.open(str(target), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"qp": "18"})
        video.pix_fmt = "yuv420p"
        for number, frame in enumerate(read_frames(source)):
            if frame.pts_s > seconds:
                break
            if number == 0:
                video.height, video.width = frame.image.shape[:2]
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three signs of one synthetic signer, and another signer who makes them in a sentence."""
    folder = tmp_path_factory.mktemp("oslwl")
    clips = dict(stream.demo.gallery_clips())
    (folder / "QUERY").mkdir()
    for number, gloss in SIGNS.items():
        shutil.copy(clips[gloss], folder / "QUERY" / f"{number}.mp4")
    annotations = json.loads(stream.demo.annotations_path().read_text())
    [(name, signs)] = annotations["videos"].items()
    (folder / "TEST").mkdir()
    first_seconds(stream.demo.annotations_path().parent / name, folder / "TEST" / "p01_n000.mp4", LENGTH_S)
    numbers = {gloss: number for number, gloss in SIGNS.items()}
    rows = [
        [numbers[one["gloss"]], round(1000 * one["start_s"]), round(1000 * one["end_s"])]
        for one in signs
        if one["end_s"] < LENGTH_S and one["gloss"] in numbers
    ]
    assert {row[0] for row in rows} == set(SIGNS)
    (folder / "OSLWL_GT.pkl").write_bytes(pickle.dumps({"p01_n000": rows}))
    return folder


def challenge_f1(truth: dict[str, Any], answers: dict[str, Any]) -> float:
    """The challenge's score as its own script counts it, restated: sums over videos and thresholds, then F1."""
    tp = fp = fn = 0
    for step in range(13):
        threshold = 0.2 + 0.05 * step
        for video, rows in truth.items():
            for sign in {row[0] for row in rows}:
                [answer] = [row for row in answers[video] if row[0] == sign]
                overlaps = []
                for _, begin, end in (row for row in rows if row[0] == sign):
                    shared = min(end, answer[2]) - max(begin, answer[1])
                    overlaps.append(max(shared, 0) / (max(end, answer[2]) - min(begin, answer[1])))
                right = max(overlaps) >= threshold - 1e-9
                tp, fp, fn = tp + right, fp + (not right), fn + (not right)
    return 2 * tp / (2 * tp + fp + fn)


ENCODERS = ("--encoder", "slgcn2d", "--encoder", "slgcn3d")


@pytest.fixture(scope="module")
def out(miniature: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves."""
    out: Path = tmp_path_factory.mktemp("out")
    assert (
        main(["reproduce", "oslwl", "--data", str(miniature), "--out", str(out), *ENCODERS, "--k", "1"]) == 0
    )
    return out


@pytest.mark.timeout(600)
def test_the_track_is_answered_and_scored_from_its_files(miniature: Path, out: Path) -> None:
    found = json.loads((out / "report.json").read_text())["oslwl"]
    assert set(found["encoders"]) == {"slgcn2d", "slgcn3d"}
    assert found["taken"] == {"1": 1, "2": 1, "3": 1}
    assert not found["failed"]
    with (miniature / "OSLWL_GT.pkl").open("rb") as file:
        truth = pickle.load(file)  # noqa: S301  # written above
    answers = json.loads((out / "answers.json").read_text())
    assert found["top_k"]["f1"] == pytest.approx(challenge_f1(truth, answers), abs=0.04)  # answers to 1 ms
    assert found["top_k"] == found["fused"], "of a single video, nothing is taken for itself"
    assert found["fused"]["f1"] > 0.5, "three signs that the encoders know how to find"
    assert sorted(path.name for path in out.iterdir()) == ["answers.json", "landmarks", "report.json"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_landmarks_are_made_once_and_damaged_ones_anew(
    miniature: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Posing ten hours of video takes a night; a power cut in it may not spoil the score."""
    words = [
        "reproduce",
        "oslwl",
        "--data",
        str(miniature),
        "--out",
        str(out),
        *ENCODERS,
        "--k",
        "1",
        "--json",
    ]
    before = json.loads((out / "report.json").read_text())["oslwl"]
    [kept] = list((out / "landmarks").iterdir())
    made_ns = kept.stat().st_mtime_ns
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["oslwl"] == before
    assert kept.stat().st_mtime_ns == made_ns
    kept.write_bytes(kept.read_bytes()[:1000])
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["oslwl"] == before


@pytest.mark.parametrize("k", ["0", "1000"])
def test_a_number_of_matches_that_is_none_is_refused(
    tmp_path: Path, k: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["reproduce", "oslwl", "--data", str(laid_out(tmp_path / "data")), "--out", str(tmp_path / "out")]
    assert main([*words, "--k", k]) == 1
    assert "take 1 to 100" in capsys.readouterr().err


@pytest.mark.timeout(600)
def test_encoders_are_trained_on_annotated_videos_and_used(
    miniature: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Few steps: what they learn is not asked here, but that each modality's network is trained, kept and searched with."""
    pytest.importorskip("torch")
    split, out = tmp_path / "TRAIN", tmp_path / "out"
    split.mkdir()
    first_seconds(miniature / "TEST" / "p01_n000.mp4", split / "p02_n000.mp4", LENGTH_S - 0.1)
    truth = pickle.loads((miniature / "OSLWL_GT.pkl").read_bytes())  # noqa: S301  # written above
    (split / "gt.json").write_text(json.dumps({"p02_n000": truth["p01_n000"]}))
    words = ["reproduce", "oslwl", "--data", str(miniature), "--out", str(out), "--k", "1", "--json"]
    assert main([*words, "--train", str(miniature)]) == 1
    assert "p01_n000.mp4 is to be searched" in capsys.readouterr().err
    words += ["--train", str(split), "--train-steps", "3"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)["oslwl"]
    assert found["trained"] == {"videos": 1, "signs": 3, "steps": 3, "wlasl": None}
    assert set(found["encoders"]) == {"slgcn2d", "slgcn3d"}
    for features in (KEYPOINTS, ANGLES):
        bundle = ModelBundle.load(out / "trained" / features.name / "bundle")
        assert bundle.card.features == features.name
        assert bundle.card.trained_on == ("3 annotated signs of 1 videos of the user's",)
        shipped = find_bundle(bundle.card.name)
        assert bundle.card.model_sha256 != shipped.card.model_sha256
    assert main([*words[:-1], "4"]) == 1
    assert "holds a run with another steps" in capsys.readouterr().err


def test_an_annotated_sign_is_cut_with_what_is_around_it() -> None:
    pytest.importorskip("torch")
    from calibration.training.annotated import AROUND, Signed, annotated_signs

    ways = [rest(30), movement("YES"), rest(30), movement("NO"), rest(30)]
    seen = track(ways, seed=0)
    first = len(rest(30))
    signs = (
        Sign("YES", first * 0.04, (first + 16) * 0.04),
        Sign("NO", 2.4, 2.48),  # too short to be learnt from
        Sign("NO", len(seen) * 0.04 - 0.4, len(seen) * 0.04 + 9),  # longer than its video
    )
    found = annotated_signs([Signed(seen, signs)], KEYPOINTS)
    assert [found.glosses[gloss] for gloss in found.gloss] == ["YES", "NO"]
    assert found.spans[0].tolist() == [AROUND, AROUND + 16]
    assert len(found.clip(0)) == 16 + 2 * AROUND
    np.testing.assert_array_equal(found.sign(0)[0], KEYPOINTS.tick(seen.at(first)))
    assert len(found.sign(1)) == 10
    with pytest.raises(ConfigError, match="1 annotated signs of 1 glosses"):
        annotated_signs([Signed(seen, signs[:1])], KEYPOINTS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--train", "DATA", "--encoder", "slgcn2d"], "leave out --encoder, or --train"),
        (["--wlasl", "hands.npz"], "add --train DIR"),
        (["--train", "nowhere"], "there is no folder nowhere"),
        (["--train", "DATA", "--train-steps", "0"], "--train-steps 0"),
    ],
)
def test_what_cannot_be_trained_is_said(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(laid_out(tmp_path / "data"))
    words = [data if word == "DATA" else word for word in words]
    assert main(["reproduce", "oslwl", "--data", data, "--out", str(tmp_path / "out"), *words]) == 1
    assert said in capsys.readouterr().err
