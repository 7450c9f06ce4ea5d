"""One-shot spotting on rendered streams: `python -m calibration.synthesis.evaluate`.

Signs and bodies are drawn from seeds that nothing was trained on. For each size of gallery one signer teaches every
sign from one rendered clip, another signs them in sentences with idle movement between; MediaPipe poses the pictures,
and the live path's own stages spot. Prints a table for `docs/synthetic-signer.md`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from calibration.enrol import enrol_clips
from calibration.evaluation.spotting import Annotations, Matching, match, read_annotations, spot_video, tally
from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import body_of
from calibration.synthesis.lexicon import LexiconSampler, SignForm, main_parameters, read_lexicon
from calibration.synthesis.motion import isolated
from calibration.synthesis.performance import Performance, Signer
from calibration.synthesis.streams import sentences, write_annotations
from calibration.synthesis.video import write_video
from engines.encoders import DEFAULT_ENCODERS, find_bundle, load_encoder
from engines.pose.mediapipe import HolisticPose
from stream.gallery import Gallery

LEXICON_SEED = 77_000
SIGNER_SEED = 77_000
TRAINING_SEEDS = range(0, 1000)
"""Seeds of lexicons, bodies and looks that training may use; what is shipped was trained on real hands alone."""
SIZE = (480, 360)
STREAMS = 3
SENTENCES = 8


def overlap(forms: Sequence[SignForm]) -> int:
    """How many signs share all main parameters with one of the built-in lexicon or of a training lexicon."""
    known = {main_parameters(form) for form in read_lexicon().values()}
    known |= {main_parameters(form) for form in LexiconSampler(TRAINING_SEEDS[0]).draw(2000)}
    return sum(main_parameters(form) in known for form in forms)


def teaching_signer() -> Signer:
    """Who teaches every sign."""
    return replace(Signer.draw(SIGNER_SEED), rest="sides")


def lesson(teacher: Signer, forms: Sequence[SignForm], number: int) -> Performance:
    """The clip that a sign of the lexicon is taught from, as it is performed."""
    return isolated(teacher, forms[number], seed=number)


def _clip(job: tuple[Path, Performance, Appearance]) -> None:
    path, performance, appearance = job
    if path.exists():
        return
    write_video(performance, path, appearance=appearance, width=SIZE[0], height=SIZE[1])


def render(
    folder: Path, forms: Sequence[SignForm], fresh: Sequence[SignForm], processes: int
) -> tuple[list[tuple[str, Path]], list[Path]]:
    """Render a clip of every fresh sign, and streams of all; returns the clips by gloss, and the streams."""
    teacher = teaching_signer()
    look = Appearance.draw(SIGNER_SEED, body_of(teacher))
    clips = [(form.gloss, folder / f"{form.gloss}.mp4") for form in fresh]
    streams: list[Path] = []
    performances: dict[str, Performance] = {}

    def jobs() -> Iterator[tuple[Path, Performance, Appearance]]:
        for number in range(STREAMS):  # the longest first, so that no process is left with one at the end
            signer = Signer.draw(SIGNER_SEED + 1 + number)
            path = folder / f"stream-{len(forms)}-{number}.mp4"
            performance = sentences(signer, forms, seed=SIGNER_SEED + number, count=SENTENCES)
            performances[path.name] = performance
            streams.append(path)
            yield path, performance, Appearance.draw(SIGNER_SEED + 1 + number, body_of(signer))
        for form, (_, path) in zip(fresh, clips, strict=True):
            yield path, lesson(teacher, forms, forms.index(form)), look

    with ProcessPoolExecutor(processes) as pool:
        done = pool.map(_clip, list(jobs()))
        for _ in track(
            done, f"rendering {len(fresh)} signs", total=len(fresh) + STREAMS, console=Console(stderr=True)
        ):
            pass
    write_annotations(folder / "annotations.json", performances)
    return clips, streams


def spot(
    folder: Path, streams: Sequence[Path], names: Sequence[str]
) -> tuple[list[Matching], list[Matching], float]:
    """Spot all streams: matchings at IoU 0.2 and 0.5, and the minutes of video."""
    gallery = Gallery.load(folder / "gallery")
    truth: Annotations = read_annotations(folder / "annotations.json")
    loose, tight, seconds = [], [], 0.0
    with HolisticPose() as estimator:
        encoders = [load_encoder(name, estimator=estimator.name) for name in names]
        for path in streams:
            spotted, length_s = spot_video(path, gallery, encoders, estimator)
            seconds += length_s
            loose.append(match(spotted, truth.videos[path.name], iou=0.2))
            tight.append(match(spotted, truth.videos[path.name], iou=0.5))
    return loose, tight, seconds / 60


def main() -> None:
    """Measure every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signs", type=int, nargs="+", default=[20, 60, 200], help="sizes of gallery")
    parser.add_argument(
        "--encoder",
        action="append",
        metavar="NAME",
        help="a shipped encoder or a bundle's folder; repeat for several (default: slgcn2d and slgcn3d)",
    )
    parser.add_argument("--processes", type=int, default=2, help="that render (default: 2)")
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="keep rendered clips here, and use those that are there already",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    names: list[str] = args.encoder or list(DEFAULT_ENCODERS)
    forms = LexiconSampler(LEXICON_SEED).draw(max(args.signs))
    shared = overlap(forms)
    rows: list[dict[str, Any]] = []
    refused = 0
    known_people = [SIGNER_SEED + number for number in range(STREAMS + 1)]
    known = sum(seed in TRAINING_SEEDS for seed in known_people)
    trained_on = "; ".join(dict.fromkeys(one for name in names for one in find_bundle(name).card.trained_on))
    print(
        f"overlap with what training may use: {shared} of {len(forms)} signs, "
        f"{known} of {len(known_people)} bodies and looks"
    )
    print(f"the encoders were trained on: {trained_on}", flush=True)
    taught = 0
    scratch = args.work or Path(tempfile.mkdtemp())
    scratch.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(scratch / "gallery", ignore_errors=True)
    for count in sorted(args.signs):  # a larger gallery is the smaller one and more signs
        clips, streams = render(scratch, forms[:count], forms[taught:count], args.processes)
        report = enrol_clips(scratch / "gallery", clips, encoders=names, processes=args.processes)
        refused += len(report.failed)
        taught = count
        loose, tight, minutes = spot(scratch, streams, names)
        at_02, at_05 = tally(loose), tally(tight)
        rows.append(
            {
                "signs": count,
                "enrolled": count - refused,
                "minutes": round(minutes, 2),
                "signed": at_02.signs,
                "precision": round(at_02.precision, 3),
                "recall": round(at_02.recall, 3),
                "f1": round(at_02.f1, 3),
                "f1_iou05": round(at_05.f1, 3),
                "false_alarms_per_minute": round((at_02.detections - at_02.hits) / minutes, 2),
            }
        )
        if args.save:
            result = {
                "date": time.strftime("%Y-%m-%d"),
                "encoders": names,
                "overlap": {"signs": shared, "bodies_and_looks": known},
                "trained_on": trained_on,
                "rows": rows,
            }
            args.save.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.work is None:
        shutil.rmtree(scratch)
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


if __name__ == "__main__":
    main()
