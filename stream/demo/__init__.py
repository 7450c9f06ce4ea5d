"""The embedded demo: clips of a synthetic signer to enrol, a stream of another one, and what is signed in it."""

from __future__ import annotations

from pathlib import Path

from engines.errors import SourceUnreachable

FOLDER = Path(__file__).parent


def gallery_clips() -> dict[str, Path]:
    """Gloss -> clip, one a sign.

    Raises:
        SourceUnreachable: the installation lacks the demo's clips.
    """
    clips = {clip.stem: clip for clip in sorted((FOLDER / "gallery").glob("*.mp4"))}
    if not clips:
        raise SourceUnreachable(f"the demo's clips are missing from {FOLDER}: install Signspot again")
    return clips


def stream_path() -> Path:
    """The stream: 640x480 at 25 fps.

    Raises:
        SourceUnreachable: the installation lacks it.
    """
    return _present(FOLDER / "stream.mp4")


def annotations_path() -> Path:
    """What is signed in the stream, exactly.

    Raises:
        SourceUnreachable: the installation lacks it.
    """
    return _present(FOLDER / "annotations.json")


def _present(path: Path) -> Path:
    if not path.exists():
        raise SourceUnreachable(f"{path} is missing: install Signspot again")
    return path
