"""The messages' form: what other people's programs rely on."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from stream.events import KINDS, Event, from_float16, kind_named, to_float16, topic_of
from tests.stream.samples import detection, hypothesis, status


def test_a_topic_ends_with_a_slash_so_that_cam1_does_not_match_cam10() -> None:
    assert topic_of(detection(stream="cam1")) == "detection/cam1/"
    assert not topic_of(status(stream="cam10")).startswith(topic_of(status(stream="cam1")))


def test_a_struct_that_is_no_message_has_no_topic() -> None:
    with pytest.raises(TypeError, match="Event"):
        kind_named(Event)


@pytest.mark.parametrize(
    "message", [detection(), hypothesis("A B"), status()], ids=lambda m: type(m).__name__
)
def test_messages_come_back_whole_from_both_encodings(message: msgspec.Struct) -> None:
    packed = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message))
    assert packed == message
    assert msgspec.json.decode(msgspec.json.encode(message), type=type(message)) == message


@pytest.mark.parametrize("struct", KINDS.values(), ids=lambda struct: struct.__name__)
def test_every_kind_carries_what_all_must_carry(struct: type[Event]) -> None:
    names = {field.name for field in msgspec.structs.fields(struct)}
    assert {"v", "stream", "epoch", "segment", "seq", "time_us"} <= names


def test_landmarks_survive_the_wire_to_half_a_pixel_and_absence_stays_absence() -> None:
    pose = np.linspace(0, 1, 33 * 4, dtype=np.float32).reshape(33, 4)
    pose[5] = np.nan
    back = from_float16(to_float16(pose), 4)
    assert np.isnan(back[5]).all()
    np.testing.assert_allclose(np.delete(back, 5, 0) * 640, np.delete(pose, 5, 0) * 640, atol=0.5)


def test_landmarks_are_little_endian_rows_as_the_protocol_says() -> None:
    # IEEE 754: 1.0 is 0x3c00, 0.5 is 0x3800, -2.0 is 0xc000.
    assert to_float16(np.array([[1.0, 0.5, -2.0]], np.float32)) == bytes.fromhex("003c 0038 00c0")
    with pytest.raises(ValueError, match="reshape"):
        from_float16(bytes(10), 3)
