"""Several streams in one process: each runs, fails and ends by itself; they are started and stopped as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from engines.errors import SourceError
from stream.frame import Frame
from stream.pipeline import Pipeline
from stream.sources.base import SourceChange

LOOK_S = 0.05


class Fleet:
    """The pipelines of all streams, by the streams' names.

    Args:
        pipelines: name -> pipeline, not started.
        on_failure: told at once which stream failed, and of what; the others go on.
    """

    def __init__(
        self, pipelines: Mapping[str, Pipeline], on_failure: Callable[[str, Exception], None]
    ) -> None:
        self.pipelines = dict(pipelines)
        self._running = dict(pipelines)
        self._on_failure = on_failure

    def start(self) -> None:
        """Start all streams."""
        for pipeline in self.pipelines.values():
            pipeline.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until every stream has ended or failed; False when the time is out before."""
        until_s = time.monotonic() + timeout_s
        while True:
            for name, pipeline in list(self._running.items()):
                try:
                    over = pipeline.wait(0.0)
                except Exception as error:  # of any library: what fails is this stream alone
                    del self._running[name]
                    pipeline.stop()
                    self._on_failure(name, error)
                else:
                    if over:
                        del self._running[name]
            left_s = until_s - time.monotonic()
            if not self._running or left_s <= 0:
                return not self._running
            time.sleep(min(left_s, LOOK_S))

    def stop(self) -> None:
        """Stop all streams at once, within a second."""
        for pipeline in self.pipelines.values():
            pipeline.halt()
        with ThreadPoolExecutor(max_workers=max(len(self.pipelines), 1)) as pool:
            for done in [pool.submit(pipeline.stop) for pipeline in self.pipelines.values()]:
                done.result()


class UnopenedSource:
    """Stands for a source that could not be opened: it ends at once, and says why."""

    realtime = True

    def __init__(self, name: str, error: SourceError) -> None:
        self.name = name
        self._error = error

    def start(self, on_frame: Callable[[Frame], None], on_change: Callable[[SourceChange], None]) -> None:
        """End."""
        on_change(SourceChange("ended", str(self._error), time.monotonic_ns(), self._error))

    def discarded(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def stop(self) -> None:
        """Nothing is open."""
