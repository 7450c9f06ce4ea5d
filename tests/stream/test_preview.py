"""The preview is what someone elsewhere sees: small, in the right colours, and nothing while nothing new is seen."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from stream.events import Message, Preview
from stream.frame import Frame
from stream.pipeline import Options, Pipeline
from stream.preview import preview_jpeg
from stream.sources.base import SourceChange
from tests.stream.running import run_pipeline


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((640, 480), (320, 240)),
        ((1920, 1080), (320, 180)),
        ((480, 640), (320, 427)),  # a phone held upright
        ((160, 120), (160, 120)),  # small enough as it is
    ],
)
def test_a_preview_is_small_and_keeps_proportions_and_colours(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = (220, 40, 10)
    image[:, width // 2 :] = (20, 60, 200)
    picture = Image.open(io.BytesIO(preview_jpeg(image)))
    assert (picture.format, picture.size) == ("JPEG", shown)
    seen = np.asarray(picture.convert("RGB"))
    middle = shown[1] // 2
    np.testing.assert_allclose(seen[middle, shown[0] // 4], (220, 40, 10), atol=6)
    np.testing.assert_allclose(seen[middle, 3 * shown[0] // 4], (20, 60, 200), atol=6)


class HandFed:
    """A source whose frames the test gives, one by one: a camera that stalls as long as the test likes."""

    name = "hand-fed"
    realtime = True
    on_frame: Callable[[Frame], None]

    def discarded(self) -> dict[str, int]:
        return {}

    def start(self, on_frame: Callable[[Frame], None], on_change: Callable[[SourceChange], None]) -> None:
        self.on_frame = on_frame
        on_change(SourceChange("live", "", time.monotonic_ns()))

    def stop(self) -> None:
        pass


def test_a_picture_is_sent_once_however_long_the_camera_stalls() -> None:
    source, messages = HandFed(), list[Message]()

    def previews() -> list[float]:
        return [message.pts_s for message in messages if isinstance(message, Preview)]

    def feed(pipeline: Pipeline) -> None:
        for index in range(2):
            image = np.full((96, 128, 3), 60 * index, np.uint8)
            source.on_frame(
                Frame(
                    image=image,
                    index=index,
                    pts_s=float(index),
                    captured_ns=time.monotonic_ns(),
                    connection=0,
                )
            )
            end_s = time.monotonic() + 30
            while len(previews()) <= index and time.monotonic() < end_s:
                time.sleep(0.02)
            time.sleep(0.5)  # a picture a tenth of a second would be five more

    run_pipeline(source, gallery=None, options=Options(preview=True), meanwhile=feed, messages=messages)
    assert previews() == [0.0, 1.0]
