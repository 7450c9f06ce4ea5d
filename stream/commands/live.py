"""`signspot live`, the same as `run_stream.py` alone: watch a source and publish what is signed."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from engines.encoders import Encoder, load_encoders
from engines.errors import ConfigError, SignspotError, SourceError
from engines.pose.base import PoseEstimator
from engines.pose.choice import open_poses
from stream.address import DEFAULT_ADDRESS
from stream.captions import CaptionWriter
from stream.curve import read_server_keys
from stream.elan import ElanWriter
from stream.events import Message
from stream.fleet import Fleet, UnopenedSource
from stream.gallery import GalleryWatcher
from stream.latency import ProcessCost
from stream.ledger import LedgerWriter
from stream.naming import named_sources
from stream.options import add_encoder_option, add_engine_option, add_pose_option
from stream.pipeline import Options, Pipeline
from stream.publisher import Publisher, Stamper, new_epoch
from stream.recording import Recorder
from stream.showing import Newest, show
from stream.sources import open_source
from stream.sources.base import Source
from stream.sources.redaction import redact
from stream.terminal import TerminalView
from stream.transcribing import TranscriptStage, open_transcript

SUMMARY = "Watch a camera, a stream or a file, and publish which known signs are being signed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    watch = parser.add_argument_group("what to watch")
    watch.add_argument(
        "--source",
        action="append",
        metavar="[NAME=]S",
        help="camera number, /dev/videoN or name (see `signspot cameras`); rtsp://..., a file, or `demo` (default: 0); "
        "give it again, each with a NAME, to watch several at once",
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
    send.add_argument(
        "--stream",
        metavar="NAME",
        help="the stream's name in every topic, for a source without a name (default: cam)",
    )
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
        help="record the run so that `signspot replay` can repeat it; of several streams each in a folder of its name",
    )
    keep.add_argument(
        "--captions",
        type=Path,
        metavar="FILE",
        help="write what is stable of the transcript as captions, WebVTT (.vtt) or SRT (.srt); of several streams each in a "
        "file with its name",
    )
    keep.add_argument(
        "--elan",
        type=Path,
        metavar="FILE",
        help="write detections and transcript as tiers of an ELAN document (.eaf); of several streams each in its own",
    )
    keep.add_argument(
        "--show", action="store_true", help="open a window a stream with the video, skeleton and scores"
    )
    keep.add_argument(
        "--quiet",
        action="store_true",
        help="print nothing but errors (on standard error, as is the port that --publish tcp://...:* has picked)",
    )


def run(args: argparse.Namespace) -> int:
    """Run until all sources have ended, Ctrl-C or SIGTERM; returns the exit status, 1 where one of several failed."""
    if args.show:
        from stream.window import check_display  # OpenCV: only where a window is asked for

        check_display()  # before the models are loaded
    specs = named_sources(args.source or ["0"], stream=args.stream)
    sources = {name: _opened(args, spec, alone=len(specs) == 1) for name, spec in specs.items()}
    with _terminable(), contextlib.ExitStack() as stack:
        estimators = open_poses(args.pose, count=len(sources), engine=args.engine)
        for estimator in estimators:
            stack.enter_context(contextlib.closing(estimator))
        encoders = load_encoders(
            args.encoder,
            estimator=estimators[0].name,
            threads=args.threads,
            mirrored=args.mirrored,
            engine=args.engine,
        )
        return run_sources(args, sources, estimators, encoders)


def _opened(args: argparse.Namespace, spec: str, *, alone: bool) -> Source:
    """A source; one of several that cannot be opened fails as a stream, and leaves the others alone."""
    try:
        return open_source(
            spec,
            speed=args.speed,
            loop=args.loop,
            transport=args.transport,
            size=_size(args.camera_size),
            fps=args.camera_fps,
        )
    except SourceError as error:
        if alone:
            raise
        return UnopenedSource(redact(spec), error)


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


def run_sources(
    args: argparse.Namespace,
    sources: Mapping[str, Source],
    estimators: Sequence[PoseEstimator],
    encoders: Sequence[Encoder],
) -> int:
    """Run the sources, each through a pipeline of its own, with the options of `live`.

    Raises:
        SignspotError: the only stream failed, or something that all of them need.
    """
    failures: dict[str, Exception] = {}
    several = len(sources) > 1
    with contextlib.ExitStack() as stack:
        publisher = stack.enter_context(
            Publisher(
                args.publish,
                encoding=args.encoding,
                insecure=args.insecure,
                curve=read_server_keys(args.keys) if args.keys else None,
            )
        )
        sinks: list[Callable[[Message], None]] = [publisher.send]
        if args.record is not None:
            sinks.append(stack.enter_context(Recorder(args.record)).write)
        notes = [_where(publisher.endpoint, args.keys)]
        if args.quiet and args.publish.endswith((":*", ":0")):
            sys.stderr.write(f"{notes[0]}\n")  # nobody could find it otherwise
        if not args.gallery:
            notes.append("no --gallery: nothing can be spotted; teach signs with `signspot enrol`")
        view = None if args.quiet else stack.enter_context(TerminalView(streams=list(sources)))
        if view is not None:
            sinks.append(view.take)
            for note in notes:
                view.note(note)
        shown = {name: Newest() for name in sources} if args.show else {}
        cost, epoch = ProcessCost(), new_epoch()
        pipelines = {}
        for (name, source), estimator in zip(sources.items(), estimators, strict=True):
            ledger = recorder = None
            if args.record_run:
                ledger = LedgerWriter(args.record_run / name if several else args.record_run)
                recorder = stack.enter_context(Recorder(ledger.events_file))
            own: list[Callable[[Message], None]] = [recorder.write] if recorder else []
            if args.captions:
                captions = CaptionWriter(_own_file(args.captions, name, several))
                own.append(stack.enter_context(captions).take)
            if args.elan:
                elan = ElanWriter(_own_file(args.elan, name, several), media=_file_of(source))
                own.append(stack.enter_context(elan).take)
            if args.show:
                own.append(shown[name].send)
            pipelines[name] = Pipeline(
                source=source,
                estimator=estimator,
                encoders=encoders,
                stamper=Stamper(name, epoch),
                sinks=[*sinks, *own],
                galleries=GalleryWatcher(args.gallery) if args.gallery else None,
                options=Options(landmarks=args.landmarks, preview=args.preview, mirrored=args.mirrored),
                ledger=ledger,
                transcriber=transcriber_of(args, encoders),
                observer=shown[name].observe if args.show else None,
                cost=cost,
            )

        def failed(name: str, error: Exception) -> None:
            failures[name] = error
            if several and view is not None:
                view.note(f"{name} has failed: {_told(error)}")

        fleet = Fleet(pipelines, failed)
        stack.callback(fleet.stop)
        if args.show:
            show(fleet, shown)
        else:
            fleet.start()
            while not fleet.wait(0.2):
                pass
    if failures and not several:
        raise next(iter(failures.values()))
    for name, error in failures.items():
        sys.stderr.write(f"signspot: {name}: {_told(error)}\n")
    return 1 if failures else 0


def _where(endpoint: str, keys: Path | None) -> str:
    """Where messages are published, and how to listen on this machine."""
    connect = endpoint.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    words = f"signspot listen --connect {connect}"
    if keys is not None:
        words += f" --keys {keys}/for-clients/NAME"
    return f"publishing on {endpoint}; listen with: {words}"


def _file_of(source: Source) -> Path | None:
    path = Path(source.name)
    return path if path.is_file() else None


def _own_file(path: Path, stream: str, several: bool) -> Path:
    """The file of one stream: `talk.vtt`, or of several `talk-cam1.vtt`."""
    return path.with_name(f"{path.stem}-{stream}{path.suffix}") if several else path


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, SignspotError) else f"{type(error).__name__}: {error}"


def transcriber_of(args: argparse.Namespace, encoders: Sequence[Encoder]) -> TranscriptStage | None:
    """What `--transcript` and `--language-model` ask for.

    Raises:
        ConfigError: a language model without a network.
        SignspotError: either one cannot be read.
    """
    if args.transcript is None:
        if args.language_model is not None:
            raise ConfigError("--language-model is for a transcript network: name one with --transcript")
        return None
    return open_transcript(
        args.transcript,
        encoders=encoders,
        language_model=args.language_model,
        mirrored=args.mirrored,
        estimator=args.pose,
        engine=args.engine,
    )
