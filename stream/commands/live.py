"""`signspot live`, the same as `run_stream.py` alone: watch a source and publish what is signed."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from engines.encoders import Encoder, load_encoders
from engines.errors import ConfigError
from engines.pose.base import PoseEstimator
from engines.pose.choice import open_pose
from stream.address import DEFAULT_ADDRESS
from stream.curve import read_server_keys
from stream.events import Message
from stream.gallery import GalleryWatcher
from stream.ledger import LedgerWriter
from stream.options import add_encoder_option, add_engine_option, add_pose_option
from stream.pipeline import Options, Pipeline
from stream.publisher import Publisher, Stamper
from stream.recording import Recorder
from stream.sources import open_source
from stream.sources.base import Source
from stream.terminal import TerminalView
from stream.transcribing import TranscriptStage, open_transcript
from stream.view import Observation

SUMMARY = "Watch a camera, a stream or a file, and publish which known signs are being signed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    watch = parser.add_argument_group("what to watch")
    watch.add_argument(
        "--source",
        default="0",
        metavar="S",
        help="camera number, /dev/videoN or name (see `signspot cameras`); rtsp://..., a file, or `demo` (default: 0)",
    )
    watch.add_argument("--gallery", type=Path, metavar="DIR", help="signs to spot, made by `signspot enrol`")
    watch.add_argument(
        "--speed",
        choices=("realtime", "max"),
        default="realtime",
        help="files only: play at their own pace, or as fast as they can be processed with no frame dropped",
    )
    watch.add_argument("--loop", action="store_true", help="files only: start again at the end, for ever")
    watch.add_argument(
        "--transport",
        choices=("tcp", "udp"),
        default="tcp",
        help="RTSP only: how packets come (default: tcp)",
    )
    watch.add_argument(
        "--camera-size",
        default="640x480",
        metavar="WxH",
        help="webcams only: picture size to ask for (default: 640x480)",
    )
    watch.add_argument(
        "--camera-fps",
        type=float,
        default=30.0,
        metavar="N",
        help="webcams only: frame rate to ask for (default: 30)",
    )
    watch.add_argument("--mirrored", action="store_true", help="the camera shows a mirror image")
    add_encoder_option(watch)
    add_pose_option(watch)
    add_engine_option(watch)
    watch.add_argument(
        "--transcript",
        metavar="NAME",
        help="write the transcript with a network of whole sentences (a shipped one or a bundle's folder); without it, it "
        "is made of the detections",
    )
    watch.add_argument(
        "--language-model",
        type=Path,
        metavar="FILE",
        help="ARPA file of glosses that the transcript's search weighs in, made by `signspot lm build`",
    )
    watch.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads of each encoder (default: 1)"
    )
    send = parser.add_argument_group("what to send")
    send.add_argument(
        "--publish",
        default=DEFAULT_ADDRESS,
        metavar="ADDR",
        help=f"ZeroMQ address; tcp://127.0.0.1:* takes a free port and says which (default: {DEFAULT_ADDRESS})",
    )
    send.add_argument("--stream", default="cam", metavar="NAME", help="the stream's name in every topic")
    send.add_argument("--encoding", choices=("msgpack", "json"), default="msgpack", help="of the messages")
    send.add_argument("--landmarks", action="store_true", help="publish the landmarks of every tick too")
    send.add_argument(
        "--preview", action="store_true", help="publish a small picture too, at most 10 a second"
    )
    send.add_argument("--keys", type=Path, metavar="DIR", help="CURVE keys made by `signspot keys`")
    send.add_argument(
        "--insecure", action="store_true", help="allow an address beyond this machine without CURVE keys"
    )
    keep = parser.add_argument_group("what to keep and show")
    keep.add_argument("--record", type=Path, metavar="FILE", help="write every message as a line of JSON")
    keep.add_argument(
        "--record-run",
        type=Path,
        metavar="DIR",
        help="record the run so that `signspot replay` can repeat it",
    )
    keep.add_argument("--show", action="store_true", help="open a window with the video, skeleton and scores")
    keep.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(args: argparse.Namespace) -> int:
    """Run until the source ends, Ctrl-C or SIGTERM; returns the exit status."""
    source = open_source(
        args.source,
        speed=args.speed,
        loop=args.loop,
        transport=args.transport,
        size=_size(args.camera_size),
        fps=args.camera_fps,
    )
    with _terminable(), contextlib.closing(open_pose(args.pose)) as estimator:
        encoders = load_encoders(
            args.encoder,
            estimator=estimator.name,
            threads=args.threads,
            mirrored=args.mirrored,
            engine=args.engine,
        )
        return run_source(args, source, estimator, encoders)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM, by which services are stopped, end the run as Ctrl-C does: `ended` is told, files are finished."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError as error:
        raise ConfigError(f"--camera-size {text}: write it as 640x480") from error
    return width, height


def run_source(
    args: argparse.Namespace, source: Source, estimator: PoseEstimator, encoders: Sequence[Encoder]
) -> int:
    """Run one source through the pipeline with the options of `live`; also used by `signspot demo`."""
    galleries = GalleryWatcher(args.gallery) if args.gallery else None
    stamper = Stamper(args.stream)
    with contextlib.ExitStack() as stack:
        sinks: list[Callable[[Message], None]] = []
        publisher = stack.enter_context(
            Publisher(
                args.publish,
                encoding=args.encoding,
                insecure=args.insecure,
                curve=read_server_keys(args.keys) if args.keys else None,
            )
        )
        sinks.append(publisher.send)
        ledger = LedgerWriter(args.record_run) if args.record_run else None
        for path in [args.record, ledger.events_file if ledger else None]:
            if path is not None:
                sinks.append(stack.enter_context(Recorder(path)).write)
        latest = LatestObservation()
        pipeline = Pipeline(
            source=source,
            estimator=estimator,
            encoders=encoders,
            stamper=stamper,
            sinks=sinks,
            galleries=galleries,
            options=Options(landmarks=args.landmarks, preview=args.preview, mirrored=args.mirrored),
            ledger=ledger,
            transcriber=transcriber_of(args),
            observer=latest.put if args.show else None,
        )
        if not args.quiet:
            view = stack.enter_context(TerminalView())
            view.note(
                f"publishing on {publisher.endpoint}; listen with: signspot listen --connect {publisher.endpoint}"
            )
            if galleries is None:
                view.note("no --gallery: nothing can be spotted; teach signs with `signspot enrol`")
            pipeline.add_sink(view.take)
        stack.callback(pipeline.stop)
        pipeline.start()
        if args.show:
            show(pipeline, latest)
        else:
            while not pipeline.wait(0.2):
                pass
    return 0


def transcriber_of(args: argparse.Namespace) -> TranscriptStage | None:
    """What `--transcript` and `--language-model` ask for.

    Raises:
        ConfigError: a language model without a network.
        SignspotError: either one cannot be read.
    """
    if args.transcript is None:
        if args.language_model is not None:
            raise ConfigError("--language-model is for a transcript network: name one with --transcript")
        return None
    return open_transcript(args.transcript, language_model=args.language_model, mirrored=args.mirrored)


class LatestObservation:
    """The newest observation, for a view that looks when it has time."""

    def __init__(self) -> None:
        self._newest: Observation | None = None
        self._fresh = threading.Event()

    def put(self, observation: Observation) -> None:
        """Replace the observation by a newer one."""
        self._newest = observation
        self._fresh.set()

    def take(self, timeout_s: float) -> Observation | None:
        """The newest observation if one came that was not taken yet, else None when the time is out."""
        if not self._fresh.wait(timeout_s):
            return None
        self._fresh.clear()
        return self._newest


def show(pipeline: Pipeline, latest: LatestObservation) -> None:
    """Draw in a window on the main thread until the source ends or the window is closed.

    Raises:
        ConfigError: there is no display.
    """
    from stream.window import ShowWindow  # opens a display: only where one is asked for

    with ShowWindow("Signspot") as window:
        while not pipeline.wait(0.0):
            observation = latest.take(0.05)
            if observation is not None:
                if not window.show(observation):
                    return
            elif not window.idle():
                return
