"""Keeps the chatter of native libraries off the terminal, without losing what else is said meanwhile."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHATTER = re.compile(rb"[IW]\d{4} |INFO: |WARNING: All log messages before absl|Warp CUDA warning")
"""Starts of the lines of abseil's, TensorFlow Lite's and Warp's logs that are information or a warning."""

_LOCK = threading.Lock()  # file descriptor 2 belongs to the whole process


@contextmanager
def chatter_muted() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 in this block, then pass on all but the chatter.

    MediaPipe 0.10.21 reads none of the usual variables (`GLOG_minloglevel`, `TF_CPP_MIN_LOG_LEVEL`) and exports no
    function for it, so the descriptor itself is turned. Errors come through, at the end of the block.
    """
    with _LOCK, tempfile.TemporaryFile() as held:
        try:
            terminal = os.dup(2)
        except OSError:  # closed: nobody to be spared
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            held.seek(0)
            rest = b"".join(line for line in held if not CHATTER.match(line))
            if rest:
                os.write(terminal, rest)
            os.close(terminal)
