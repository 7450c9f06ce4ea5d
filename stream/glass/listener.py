"""A subscriber in a process of its own, which tells when it had each message in its hands."""

from __future__ import annotations

import sys
import time

from stream.events import Detection, LandmarksEvent
from stream.glass.children import Child
from stream.subscriber import Subscriber


class GlassListener(Child):
    """Receives detections and the landmarks of every tick.

    Args:
        endpoint: of the publisher.
    """

    def __init__(self, endpoint: str) -> None:
        self.received_ns: dict[tuple[str, int], int] = {}
        """When each message was decoded, by its kind and number; monotonic clock."""
        super().__init__("stream.glass.listener", [endpoint], self._take)

    def _take(self, words: list[str]) -> None:
        kind, seq, at_ns = words
        self.received_ns[kind, int(seq)] = int(at_ns)


def _listen(endpoint: str) -> None:
    with Subscriber(endpoint, kinds=("detection", "landmarks")) as events:
        for event in events:
            at_ns = time.monotonic_ns()
            if isinstance(event, Detection | LandmarksEvent):
                print(type(event).__name__, event.seq, at_ns, flush=True)


if __name__ == "__main__":
    _listen(sys.argv[1])
