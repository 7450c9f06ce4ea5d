"""Where frames come from: cameras, streams and files, all behind `stream.sources.base.Source`."""

from stream.sources.ffmpeg import read_frames
from stream.sources.opening import open_source

__all__ = ["open_source", "read_frames"]
