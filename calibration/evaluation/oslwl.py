"""The one-shot track (OSLWL) of the ECCV 2022 Sign Spotting Challenge: its files, as LSE_eSaude_UVIGO has them.

Each sign has one clip of it alone, named by the sign; the ground truth maps each continuous video to
`[[sign, begin_ms, end_ms], ...]`. Which signs occur in a video is known (the weak label), where is asked. The challenge's
own files are pickles: they are read by an unpickler that knows no class and no function but numpy arrays, so that no code
in them is run.
"""

from __future__ import annotations

import contextlib
import json
import math
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.evaluation.spotting import Sign
from engines.errors import SignspotError

VIDEOS = frozenset((".mp4", ".mov", ".avi", ".mkv", ".webm"))
TRUTHS = frozenset((".json", ".pkl"))
_NUMPY = {
    (module, name)
    for package in ("numpy.core", "numpy._core")
    for module, name in ((f"{package}.multiarray", "_reconstruct"), (f"{package}.multiarray", "scalar"))
} | {("numpy", "ndarray"), ("numpy", "dtype")}
ANSWERS = "answers.json"
"""Name of the file of answers; it has the ground truth's form and is none."""
_LISTED = 5


class NotTheChallenge(SignspotError):
    """A folder that does not hold the challenge's files in a form that is known here."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One split of the track."""

    queries: Mapping[str, Path]  # sign -> its clip
    videos: Mapping[str, Path]  # the ground truth's name of a video -> its file
    truth: Mapping[str, tuple[Sign, ...]]  # the same name -> what is signed in it, seconds

    def __repr__(self) -> str:
        asked = sum(len({sign.gloss for sign in signs}) for signs in self.truth.values())
        return f"Challenge({len(self.queries)} signs, {len(self.videos)} videos, {asked} questions)"


@dataclass(frozen=True, slots=True)
class Annotated:
    """Continuous videos and what is signed in them: a split to train on, which needs no clips of signs alone."""

    videos: Mapping[str, Path]  # the ground truth's name of a video -> its file
    truth: Mapping[str, tuple[Sign, ...]]  # the same name -> what is signed in it, seconds


def find_annotated(data: Path, *, videos: Path | None = None, truth: Path | None = None) -> Annotated:
    """Find the ground truth and its videos in a folder, as `find_challenge` does.

    Raises:
        NotTheChallenge: something is missing, or there is more than one ground truth.
    """
    if not data.is_dir():
        raise NotTheChallenge(
            f"there is no folder {data}: give the folder of one split of the challenge's data"
        )
    known = _truth_of(data) if truth is None else read_truth(truth)
    folders = _folders_of_videos(data) if videos is None else [videos]
    return Annotated(_videos_of(known, folders, data), known)


def find_challenge(
    data: Path, *, queries: Path | None = None, videos: Path | None = None, truth: Path | None = None
) -> Challenge:
    """Find a split's files in a folder, however its folders are called.

    The ground truth is the only .json or .pkl file below `data` that has its form; the videos are in the folder that has the
    files it names, the queries in the only other folder with videos.

    Args:
        data: the folder of one split.
        queries: folder of the signs' clips, where it cannot be told.
        videos: folder of the continuous videos.
        truth: file of the ground truth.

    Raises:
        NotTheChallenge: something is missing, there is more than one of it, or a sign that is asked for has no clip.
    """
    split = find_annotated(data, videos=videos, truth=truth)
    known, found = split.truth, split.videos
    home = next(iter(found.values())).parent
    if queries is None:
        others = [folder for folder in _folders_of_videos(data) if folder.resolve() != home.resolve()]
        if len(others) != 1:
            what = ", ".join(str(folder) for folder in others[:_LISTED]) or "none"
            raise NotTheChallenge(
                f"{data}: one folder of the signs' own clips is expected beside {home}, found {what}: name it by --queries"
            )
        queries = others[0]
    signs = sorted({sign.gloss for signs in known.values() for sign in signs})
    return Challenge(_queries_of(signs, queries), found, known)


def read_truth(path: Path) -> dict[str, tuple[Sign, ...]]:
    """Read `{video: [[sign, begin_ms, end_ms], ...]}`, JSON or the challenge's pickle; signs are names or numbers.

    Raises:
        NotTheChallenge: the file is missing, damaged, of another form, or would need code to be run.
    """
    try:
        if path.suffix == ".pkl":
            with path.open("rb") as file:
                content = _Plain(file).load()
        else:
            content = json.loads(path.read_text())
        return {str(video): tuple(_sign(row) for row in rows) for video, rows in content.items()}
    except OSError as error:
        raise NotTheChallenge(f"{path} cannot be read: {error.strerror or error}") from error
    except _Refused as error:
        raise NotTheChallenge(
            f"{path} holds more than lists and numbers ({error}), and reading it would run code: save it as JSON"
        ) from error
    except Exception as error:  # a pickle that is none fails in many ways
        raise NotTheChallenge(
            f"{path} holds no ground truth: expected {{video: [[sign, begin_ms, end_ms], ...]}}, "
            f"got {type(error).__name__}: {error}"
        ) from error


def write_answers(path: Path, answers: Mapping[str, Mapping[str, Sign]]) -> None:
    """Write answers in the ground truth's form, as JSON: `{video: [[sign, begin_ms, end_ms], ...]}`."""
    content = {
        video: [
            [int(sign.gloss) if sign.gloss.isdecimal() else sign.gloss, _ms(sign.start_s), _ms(sign.end_s)]
            for sign in found.values()
        ]
        for video, found in answers.items()
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


class _Refused(Exception):
    """A class or function that a pickle asks for."""


class _Plain(pickle.Unpickler):
    """Builds lists, dicts, numbers, strings and numpy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NUMPY:
            raise _Refused(f"{module}.{name}")
        return super().find_class(module, name)


def _sign(row: Sequence[Any]) -> Sign:
    label, begin, end = row
    gloss = str(label)
    with contextlib.suppress(ValueError):
        if float(label).is_integer():
            gloss = str(int(float(label)))  # 3, 3.0, "3" and "03" are one sign
    start_s, end_s = float(begin) / 1000, float(end) / 1000
    if not 0 <= start_s < end_s < math.inf:
        raise ValueError(f"sign {gloss} from {begin} to {end} ms: a sign ends after it begins")
    return Sign(gloss, start_s, end_s)


def _truth_of(data: Path) -> dict[str, tuple[Sign, ...]]:
    files = sorted(path for path in data.rglob("*") if path.suffix in TRUTHS and path.name != ANSWERS)
    known: dict[Path, dict[str, tuple[Sign, ...]]] = {}
    why = ""
    for path in files:
        try:
            known[path] = read_truth(path)
        except NotTheChallenge as error:
            why = str(error)
    if not known:
        raise NotTheChallenge(
            why or f"{data} holds no ground truth (.json or .pkl): name the file by --truth"
        )
    if len(known) > 1:
        what = ", ".join(str(path) for path in list(known)[:_LISTED])
        raise NotTheChallenge(f"{data} holds more than one ground truth ({what}): name one by --truth")
    return next(iter(known.values()))


def _folders_of_videos(data: Path) -> list[Path]:
    return sorted({path.parent for path in data.rglob("*") if path.suffix.lower() in VIDEOS})


def _videos_of(truth: Mapping[str, tuple[Sign, ...]], folders: Sequence[Path], data: Path) -> dict[str, Path]:
    """The videos that the ground truth names, with or without their suffix, in one of the folders."""
    best: dict[str, Path] = {}
    for folder in folders:
        files = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in VIDEOS]
        by_name = {path.stem: path for path in files} | {path.name: path for path in files}
        here = {name: by_name[name] for name in truth if name in by_name}
        if len(here) > len(best):
            best = here
    missing = [name for name in truth if name not in best]
    if missing:
        what = ", ".join(missing[:_LISTED]) + (" ..." if len(missing) > _LISTED else "")
        raise NotTheChallenge(
            f"{data}: {len(missing)} of the ground truth's {len(truth)} videos are not there ({what}): "
            "name their folder by --videos"
        )
    if not best:
        raise NotTheChallenge(f"{data}: the ground truth names no video")
    return best


def _queries_of(signs: Sequence[str], folder: Path) -> dict[str, Path]:
    """The clip of each sign: its stem is the sign, or the only number in its stem is."""
    files = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in VIDEOS]
    found: dict[str, Path] = {}
    for sign in signs:
        mine = [path for path in files if sign in (path.stem, _number(path.stem))]
        if len(mine) != 1:
            what = ", ".join(path.name for path in mine[:_LISTED]) or "none"
            raise NotTheChallenge(
                f"{folder}: one clip named by the sign {sign} is expected, found {what} among {len(files)} videos"
            )
        found[sign] = mine[0]
    return found


def _number(stem: str) -> str | None:
    numbers = re.findall(r"\d+", stem)
    return str(int(numbers[0])) if len(numbers) == 1 else None
