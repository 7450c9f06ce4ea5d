"""`signspot synth`: the synthetic signer. Made-up signs, streams, data sets and corpora with exact ground truth."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track

from calibration.corpus.landmarks import packed, save_track
from calibration.corpus.reading import read_corpus
from calibration.synthesis.body import body_of
from calibration.synthesis.clips import make_clips
from calibration.synthesis.corpus import make_corpus, plan
from calibration.synthesis.landmarks import Camera, Noise, landmarks_of
from calibration.synthesis.lexicon import LexiconSampler, SignForm, read_lexicon
from calibration.synthesis.motion import isolated
from calibration.synthesis.performance import Performance, Signer
from calibration.synthesis.sheet import sheet
from calibration.synthesis.streams import idling, sentences, write_annotations
from engines.errors import ConfigError
from engines.landmarks import LandmarkTrack

SUMMARY = (
    "The synthetic signer: a sign, a stream of sentences, a data set or a corpus, each with its exact truth."
)

LONGEST_S = 4 * 3600
"""Of one stream: it is held in memory, about 1.3 GiB an hour."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="sign|stream|dataset|corpus|clips|show")

    def common(name: str, summary: str) -> argparse.ArgumentParser:
        sub = kinds.add_parser(name, help=summary, description=summary)
        sub.add_argument(
            "--lexicon", type=Path, metavar="FILE", help="signs as TOML (default: the built-in 60)"
        )
        sub.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: 0)")
        sub.add_argument(
            "--signer", type=int, default=3, metavar="SEED", help="whose body and manner (default: 3)"
        )
        return sub

    sign = common("sign", "One sign from rest to rest, as a video to enrol from.")
    sign.add_argument("gloss", help="of the lexicon")
    sign.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="video (.mp4) or landmarks (.npz)"
    )
    _picture_size(sign)
    stream = common(
        "stream", "Sentences of signs with rests and idle movement: video, landmarks and truth in a folder."
    )
    stream.add_argument(
        "glosses", nargs="*", metavar="GLOSS", help="signs to use (default: all of the lexicon)"
    )
    stream.add_argument("--sentences", type=int, default=8, metavar="N", help="how many (default: 8)")
    stream.add_argument(
        "--idle", type=float, metavar="SECONDS", help="no signs at all: so much idling instead"
    )
    stream.add_argument(
        "--no-video", action="store_true", help="landmarks and truth only: thousands of ticks a second"
    )
    stream.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder")
    _picture_size(stream)
    dataset = common(
        "dataset", "Landmarks of many signs by many signers, in the form of wlasl_hands.npz plus the body."
    )
    dataset.add_argument("--glosses", type=int, default=500, metavar="N", help="signs to draw (default: 500)")
    dataset.add_argument(
        "--signers", type=int, default=20, metavar="N", help="signers, each makes all (default: 20)"
    )
    dataset.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .npz")
    corpus = kinds.add_parser(
        "corpus",
        help="Real gloss sentences signed as landmarks, one made-up sign a gloss.",
        description="Sign the sentences of a corpus: one made-up sign a gloss, other signers in train, dev and test, "
        "landmarks with MediaPipe's measured errors, no video. Stopped, the same command goes on from there.",
    )
    corpus.add_argument(
        "--sentences",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with train.tsv, dev.tsv, test.tsv",
    )
    corpus.add_argument(
        "--glosses", type=int, metavar="N",
        help="only sentences made of the N most frequent glosses of training (default: all)",
    )  # fmt: skip
    corpus.add_argument("--signers", type=int, default=20, metavar="N", help="who train (default: 20)")
    corpus.add_argument("--others", type=int, default=5, metavar="N", help="in dev and in test (default: 5)")
    corpus.add_argument("--limit", type=int, metavar="N", help="sentences a split (default: all)")
    corpus.add_argument("--seed", type=int, default=0, help="of signs and signers (default: 0)")
    corpus.add_argument("--processes", type=int, default=1, metavar="N", help="side by side (default: 1)")
    corpus.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the corpus")
    clips = kinds.add_parser(
        "clips",
        help="Small pictures of sampled signs, to train the RGB encoder on.",
        description="Render sampled signs by many bodies in many appearances, 24 clips a scene, at the size that the RGB "
        "encoder sees. Stopped, the same command goes on from there.",
    )
    clips.add_argument("--signs", type=int, default=3000, metavar="N", help="to sample (default: 3000)")
    clips.add_argument("--scenes", type=int, default=900, metavar="N", help="to render (default: 900)")
    clips.add_argument("--bodies", type=int, default=120, metavar="N", help="different ones (default: 120)")
    clips.add_argument(
        "--seed", type=int, default=0, help="another seed, other signs and bodies (default: 0)"
    )
    clips.add_argument("--processes", type=int, default=1, metavar="N", help="side by side (default: 1)")
    clips.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the clips")
    show = common("show", "A picture of signs, or of the whole lexicon.")
    show.add_argument("glosses", nargs="*", metavar="GLOSS", help="default: all")
    show.add_argument(
        "--out", type=Path, default=Path("signs.png"), metavar="FILE", help="PNG (default: signs.png)"
    )


def _picture_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", default="640x480", metavar="WxH", help="of the video (default: 640x480)")


def run(args: argparse.Namespace) -> int:
    """Make what was asked for.

    Raises:
        ConfigError: a request that cannot be met, or a file that cannot be written.
        MissingExtra: the synthetic signer's packages, or EGL for pictures, are not installed.
    """
    _check(args)
    try:
        _make(args)
    except OSError as error:
        raise ConfigError(f"--out {args.out} cannot be written: {error.strerror or error}") from error
    print(args.out)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Say what is wrong before the long work."""
    for name in (
        "seed",
        "signer",
        "sentences",
        "glosses",
        "signers",
        "others",
        "limit",
        "processes",
        "signs",
        "scenes",
        "bodies",
    ):
        value, least = getattr(args, name, None), 0 if name in ("seed", "signer") else 1
        if isinstance(value, int) and value < least:
            raise ConfigError(f"--{name} must be at least {least}, not {value}")
    if getattr(args, "idle", None) is not None and not 1 <= args.idle <= LONGEST_S:
        raise ConfigError(f"--idle must be 1 to {LONGEST_S} seconds, not {args.idle:g}")
    endings = {"sign": (".mp4", ".npz"), "dataset": (".npz",), "show": (".png", ".jpg")}.get(args.kind)
    if endings and args.out.suffix not in endings:
        raise ConfigError(f"--out {args.out}: its name must end in {' or '.join(endings)}")
    if args.kind not in ("stream", "corpus") and not args.out.absolute().parent.is_dir():
        raise ConfigError(f"--out {args.out}: there is no folder {args.out.parent}")
    if args.kind in ("sign", "stream"):
        _size(args.size)


def _size(text: str) -> tuple[int, int]:
    """Width and height; H.264 halves both for its colours."""
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError as error:
        raise ConfigError(f"--size {text}: write it as 640x480") from error
    if not all(64 <= side <= 4096 and side % 2 == 0 for side in (width, height)):
        raise ConfigError(f"--size {text}: both must be even, 64 to 4096")
    return width, height


def _make(args: argparse.Namespace) -> None:
    if args.kind == "corpus":
        return _corpus(args)
    if args.kind == "clips":
        return _clips(args)
    lexicon = read_lexicon(args.lexicon)
    signer = Signer.draw(args.signer)
    match args.kind:
        case "sign":
            performance = isolated(signer, _chosen(lexicon, [args.gloss])[0], seed=args.seed)
            if args.out.suffix == ".npz":
                save_track(args.out, _seen(performance, args.seed))
            else:
                _video(performance, args.out, args.size, args.seed)
        case "stream":
            _stream(args, signer, lexicon)
        case "dataset":
            _dataset(args)
        case _:
            picture = sheet(signer, _chosen(lexicon, args.glosses), seed=args.seed)
            if not cv2.imwrite(str(args.out), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
                raise ConfigError(f"--out {args.out} cannot be written")


def _clips(args: argparse.Namespace) -> None:
    columns = (TextColumn("scenes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=args.scenes)
        make_clips(
            args.out,
            signs=args.signs,
            scenes=args.scenes,
            seed=args.seed,
            bodies=args.bodies,
            processes=args.processes,
            progress=lambda: progress.advance(bar),
        )


def _chosen(lexicon: dict[str, SignForm], glosses: Sequence[str]) -> list[SignForm]:
    for gloss in glosses:
        if gloss not in lexicon:
            raise ConfigError(f"there is no sign {gloss!r} in the lexicon; it has {', '.join(lexicon)}")
    return [lexicon[gloss] for gloss in glosses] if glosses else list(lexicon.values())


def _seen(performance: Performance, seed: int) -> LandmarkTrack:
    camera = Camera.draw(np.random.default_rng([seed, 31]), body_of(performance.signer))
    return landmarks_of(performance, camera, noise=Noise.measured(), seed=seed)


def _video(performance: Performance, path: Path, size: str, seed: int) -> None:
    from calibration.synthesis.appearance import (
        Appearance,
    )  # needs moderngl: only where pictures are asked for
    from calibration.synthesis.video import write_video

    width, height = _size(size)
    columns = (TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=len(performance))
        write_video(
            performance,
            path,
            appearance=Appearance.draw(seed, body_of(performance.signer)),
            width=width,
            height=height,
            progress=lambda done: progress.update(bar, completed=done),
        )


def _stream(args: argparse.Namespace, signer: Signer, lexicon: dict[str, SignForm]) -> None:
    forms = _chosen(lexicon, args.glosses)
    args.out.mkdir(parents=True, exist_ok=True)
    if any(args.out.iterdir()):
        raise ConfigError(f"--out {args.out} is not empty: name a new folder")
    with Console(stderr=True).status("moving"):
        if args.idle is not None:
            performance = idling(signer, seconds=args.idle, seed=args.seed)
        else:
            performance = sentences(signer, forms, seed=args.seed, count=args.sentences)
        write_annotations(args.out / "annotations.json", {"stream.mp4": performance})
        save_track(args.out / "landmarks.npz", _seen(performance, args.seed))
        np.savez_compressed(args.out / "joints.npz", joints=performance.joints, fps=performance.fps)
    if not args.no_video:
        _video(performance, args.out / "stream.mp4", args.size, args.seed)


def clips(seed: int, glosses: int, signers: int) -> Iterator[tuple[int, int, LandmarkTrack]]:
    """Every sign by every signer: (gloss number, signer number, landmarks)."""
    forms = LexiconSampler(seed).draw(glosses)
    noise = Noise.measured()
    for person in range(signers):
        signer = Signer.draw(seed * 1000 + person)
        for number, form in enumerate(forms):
            one = seed * 1_000_003 + person * glosses + number
            camera = Camera.draw(np.random.default_rng([one, 31]), body_of(signer))
            yield (
                number,
                person,
                landmarks_of(isolated(signer, form, seed=one), camera, noise=noise, seed=one),
            )


def _dataset(args: argparse.Namespace) -> None:
    tracks, gloss, person_of = [], [], []
    total = args.glosses * args.signers
    every = clips(args.seed, args.glosses, args.signers)
    for number, person, seen in track(
        every, "performing", total=total, console=Console(stderr=True), transient=True
    ):
        tracks.append(seen)
        gloss.append(number)
        person_of.append(person)
    hands = np.concatenate([np.stack([seen.left_hand, seen.right_hand], 1) for seen in tracks])
    body = np.concatenate([seen.pose for seen in tracks])
    np.savez_compressed(
        args.out,
        landmarks=packed(hands),
        pose=packed(body),
        offsets=np.concatenate([[0], np.cumsum([len(seen) for seen in tracks])]),
        gloss=np.array(gloss),
        gloss_names=np.array([form.gloss for form in LexiconSampler(args.seed).draw(args.glosses)]),
        signer=np.array(person_of),
        frame_wh=np.array([(seen.width, seen.height) for seen in tracks]),
    )


def _corpus(args: argparse.Namespace) -> None:
    chosen = plan(
        read_corpus(args.sentences),
        seed=args.seed,
        glosses=args.glosses,
        signers=args.signers,
        others=args.others,
        limit=args.limit,
    )
    columns = (TextColumn("signing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=len(chosen))
        make_corpus(args.out, chosen, processes=args.processes, progress=lambda: progress.advance(bar))
