"""`signspot replay`: repeat a recorded run, and say whether the same events came out."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from engines.encoders import load_encoders
from engines.pose.choice import open_poses, pose_of
from stream.events import Detection, Hypothesis, Message
from stream.options import add_encoder_option, add_engine_option
from stream.recording import Recorder, read_messages
from stream.replay import differences, end_of, frames_in, replay, setup_of

SUMMARY = "Repeat a run that was recorded with `--record-run`, and compare its events with the recorded ones."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", type=Path, metavar="DIR", help="folder made by `--record-run`")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the messages as lines of JSON")
    parser.add_argument(
        "--pose",
        metavar="NAME",
        help="pose estimator (default: the run's; one of your own has to be named again)",
    )
    add_encoder_option(parser)
    add_engine_option(parser)


def run(args: argparse.Namespace) -> int:
    """Replay; the exit status is 1 where the events differ."""
    setup = setup_of(args.run)
    messages: list[Message] = []
    with contextlib.ExitStack() as stack:
        sinks: list[Callable[[Message], None]] = [messages.append]
        if args.record is not None:
            sinks.append(stack.enter_context(Recorder(args.record)).write)
        (estimator,) = open_poses(args.pose or pose_of(setup.estimator), count=1, engine=args.engine)
        stack.enter_context(contextlib.closing(estimator))
        encoders = load_encoders(
            args.encoder, estimator=estimator.name, mirrored=setup.mirrored, engine=args.engine
        )
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        bar = progress.add_task("replaying", total=frames_in(args.run))

        def send(message: Message) -> None:
            for sink in sinks:
                sink(message)

        replay(
            args.run,
            estimator=estimator,
            encoders=encoders,
            send=send,
            progress=lambda done: progress.update(bar, completed=done),
            engine=args.engine,
        )
    for message in messages:
        if isinstance(message, Detection):
            print(f"{message.start_s:7.2f} - {message.end_s:7.2f} s  {message.gloss}  {message.score:.3f}")
    events = args.run / "events.jsonl"
    if not events.exists():
        print("the recording holds no events to compare with")
        return 0
    recorded = list(read_messages(events))
    said = [message for message in messages if isinstance(message, Detection | Hypothesis)]
    if end_of(args.run) is None:  # what the crash kept from being said cannot be compared
        heard = sum(isinstance(message, Detection | Hypothesis) for message in recorded)
        sys.stderr.write(f"the recorded run crashed: compared as far as its {heard} events go\n")
        said = said[:heard]
    found = list(differences(said, recorded))
    for line in found:
        sys.stderr.write(f"{line}\n")
    print("the same events, bit for bit" if not found else f"{len(found)} differences")
    return 1 if found else 0
