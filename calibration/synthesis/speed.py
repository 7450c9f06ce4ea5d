"""How fast the synthetic signer is: `python -m calibration.synthesis.speed`.

Counted in CPU seconds, so that a machine that others use as well gives the figure of one that they do not.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import body_of
from calibration.synthesis.landmarks import Camera, Noise, landmarks_of
from calibration.synthesis.lexicon import LexiconSampler
from calibration.synthesis.motion import isolated
from calibration.synthesis.performance import Signer
from calibration.synthesis.streams import sentences
from calibration.synthesis.video import pictures

STREAMS = 6


def windows(seed: int) -> tuple[int, float]:
    """Windows of 16 ticks at stride 1 that one process makes as landmarks, and the CPU seconds it takes."""
    signer = Signer.draw(seed)
    forms, noise = LexiconSampler(seed).draw(30), Noise.measured()
    isolated(signer, forms[0], seed=seed)  # builds the body, once a signer, and compiles
    start, count = time.process_time(), 0
    for number in range(STREAMS):
        performance = sentences(signer, forms, seed=seed + number, count=10)
        count += len(landmarks_of(performance, Camera(), noise=noise, seed=number)) - 15
    return count, time.process_time() - start


def frames(job: tuple[int, int, int]) -> tuple[int, float]:
    """Frames of video that one process renders, motion blur and camera noise included, and the CPU seconds it takes."""
    seed, width, height = job
    signer = Signer.draw(seed)
    look = Appearance.draw(seed, body_of(signer))
    performance = sentences(signer, LexiconSampler(seed).draw(6), seed=seed, count=2)
    made = pictures(performance, look, width, height)
    next(made)  # sets up the renderer
    start = time.process_time()
    count = sum(1 for _ in made)
    return count, time.process_time() - start


def main() -> None:
    """Measure on every core and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    seeds = range(5000, 5000 + cores)
    rates: dict[str, float] = {}
    with ProcessPoolExecutor(cores) as pool:
        rates["landmark windows a second"] = sum(n / s for n, s in pool.map(windows, seeds))
        for width, height in ((256, 256), (640, 480)):
            done = pool.map(frames, [(seed, width, height) for seed in seeds])
            rates[f"frames a second at {width}x{height}"] = sum(n / s for n, s in done)
    print(f"| on {cores} cores | |\n|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} |")
    if args.save:
        args.save.write_text(json.dumps({"cores": cores, **rates}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
