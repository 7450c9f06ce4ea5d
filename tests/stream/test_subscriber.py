"""Subscribing: typed events in order, and an honest account of what did not arrive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import zmq

from engines.errors import ConfigError
from stream.events import Detection
from stream.publisher import Publisher
from stream.subscriber import Lost, Received, Subscriber, Unreadable
from tests.stream.samples import detection, hypothesis, status


class RawSender:
    """A foreign publisher: sends what a test wants, bugs included."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.XPUB)
        self.socket.linger = 0
        self.socket.bind("tcp://127.0.0.1:*")
        self.endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def wait_for_subscriptions(self, count: int) -> None:
        for _ in range(count):
            assert self.socket.poll(5000)
            self.socket.recv()

    def send(self, topic: str, payload: dict[str, Any] | bytes) -> None:
        data = payload if isinstance(payload, bytes) else msgspec.msgpack.encode(payload)
        self.socket.send_multipart([topic.encode(), data])

    def close(self) -> None:
        self.socket.close()
        self._context.term()


@pytest.fixture
def sender() -> Iterator[RawSender]:
    sender = RawSender()
    yield sender
    sender.close()


def plain(seq: int, **changes: Any) -> dict[str, Any]:
    return dict(msgspec.to_builtins(detection(seq=seq))) | changes


def received(sender: RawSender, *messages: tuple[str, dict[str, Any] | bytes]) -> list[Received]:
    """What a subscriber makes of these messages."""
    with Subscriber(sender.endpoint) as subscriber:
        sender.wait_for_subscriptions(3)
        for topic, payload in messages:
            sender.send(topic, payload)
        return until_end(subscriber, sender)


def until_end(subscriber: Subscriber, sender: RawSender) -> list[Received]:
    """What comes before a last message that is sent now: no waiting for what might still come."""
    sender.send("status/end/", dict(msgspec.to_builtins(status(stream="end"))))
    got: list[Received] = []
    while (event := subscriber.receive(10)) != status(stream="end"):
        assert event is not None
        got.append(event)
    return got


def test_messages_lost_on_the_way_are_counted_before_the_one_that_shows_it(sender: RawSender) -> None:
    topic = "detection/cam/"
    got = received(sender, (topic, plain(3)), (topic, plain(4)), (topic, plain(7)))
    assert got == [detection(seq=3), detection(seq=4), Lost(topic, 2), detection(seq=7)]


def test_joining_late_is_no_loss(sender: RawSender) -> None:
    assert received(sender, ("detection/cam/", plain(100))) == [detection(seq=100)]


def test_each_topic_has_its_own_count(sender: RawSender) -> None:
    got = received(
        sender,
        ("detection/cam/", plain(0)),
        ("detection/door/", plain(5, stream="door")),
        ("detection/cam/", plain(1)),
    )
    assert got == [detection(seq=0), detection(seq=5, stream="door"), detection(seq=1)]


def test_a_restarted_sender_is_no_loss_and_its_low_numbers_are_no_duplicates(sender: RawSender) -> None:
    topic = "detection/cam/"
    got = received(sender, (topic, plain(50)), (topic, plain(0, epoch="new")), (topic, plain(1, epoch="new")))
    assert got == [detection(seq=50), detection(seq=0, epoch="new"), detection(seq=1, epoch="new")]


def test_duplicates_are_dropped(sender: RawSender) -> None:
    topic = "detection/cam/"
    assert received(sender, (topic, plain(2)), (topic, plain(2)), (topic, plain(1))) == [detection(seq=2)]


def test_fields_that_a_newer_sender_added_are_passed_over(sender: RawSender) -> None:
    assert received(sender, ("detection/cam/", plain(0, mood="cheerful"))) == [detection(seq=0)]


def test_a_newer_schema_version_is_reported_and_what_follows_is_still_read(sender: RawSender) -> None:
    topic = "detection/cam/"
    first, second = received(sender, (topic, plain(0, v=2, gloss=None)), (topic, plain(1)))
    assert isinstance(first, Unreadable)
    assert "schema version 2" in first.reason
    assert second == detection(seq=1)


def test_kinds_of_a_newer_sender_are_passed_over(sender: RawSender) -> None:
    with Subscriber(sender.endpoint) as subscriber:
        sender.wait_for_subscriptions(3)
        subscriber._socket.subscribe("")
        sender.wait_for_subscriptions(1)
        sender.send("emotion/cam/", {"v": 1, "epoch": "abc", "seq": 0})
        sender.send("detection/cam/", plain(0))
        assert until_end(subscriber, sender) == [detection(seq=0)]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "truncated"),
        (b"\xc1garbage", "invalid"),
        (b'{"v": 1, "seq": ', "truncated"),
        (msgspec.msgpack.encode({"v": 1}), "epoch"),
        (msgspec.msgpack.encode(plain(0, score="high")), "score"),
    ],
    ids=["empty", "garbage", "cut off", "no number", "wrong type"],
)
def test_damaged_messages_are_reported_and_the_next_one_is_read(
    sender: RawSender, payload: bytes, says: str
) -> None:
    first, second = received(sender, ("detection/cam/", payload), ("detection/cam/", plain(1)))
    assert isinstance(first, Unreadable)
    assert says in first.reason
    assert second == detection(seq=1)


def test_one_part_instead_of_two_is_reported(sender: RawSender) -> None:
    with Subscriber(sender.endpoint) as subscriber:
        sender.wait_for_subscriptions(3)
        sender.socket.send(b"detection/cam/")
        assert [type(event) for event in until_end(subscriber, sender)] == [Unreadable]


def test_only_the_kinds_and_the_stream_that_were_asked_for() -> None:
    with (
        Publisher("tcp://127.0.0.1:*") as publisher,
        Subscriber(publisher.endpoint, kinds=["hypothesis"], stream="cam1") as subscriber,
    ):
        while subscriber.receive(0.02) is None:
            publisher.send(hypothesis("KNOCK", stream="cam1", epoch="0"))  # repetitions are dropped
        publisher.send(hypothesis("OTHER", stream="cam10"))
        publisher.send(detection(stream="cam1"))
        publisher.send(hypothesis("MINE", stream="cam1"))
        assert subscriber.receive(10) == hypothesis("MINE", stream="cam1")


def test_a_publisher_that_starts_later_and_again_is_found() -> None:
    with Publisher("tcp://127.0.0.1:*") as publisher:
        address = publisher.endpoint
    with Subscriber(address) as subscriber:
        states = [subscriber.connection]
        for epoch in ("first", "second"):
            with Publisher(address) as publisher:
                publisher.send(status(epoch=epoch))
                assert subscriber.receive(10) == status(epoch=epoch)
                states.append(subscriber.connection)
        assert states == ["connecting", "connected", "connected"]


def test_the_time_out_ends_the_iteration_and_not_before() -> None:
    with Publisher("tcp://127.0.0.1:*") as publisher:
        start_s = time.monotonic()
        with Subscriber(publisher.endpoint, timeout_s=0.4) as subscriber:
            assert list(subscriber) == []
        assert 0.4 <= time.monotonic() - start_s < 3


def test_a_subscriber_can_be_closed_at_once_and_twice() -> None:
    subscriber = Subscriber("tcp://127.0.0.1:1")
    start_s = time.monotonic()
    subscriber.close()
    subscriber.close()
    assert time.monotonic() - start_s < 1


@pytest.mark.parametrize(
    ("address", "kinds", "says"),
    [
        ("tcp://*:5570", ["detection"], "name the host"),  # what a publisher binds
        ("tcp://127.0.0.1:*", ["detection"], "name the host"),
        ("localhost:5570", ["detection"], "not a ZeroMQ address"),
        ("tcp://127.0.0.1:5570", ["detections"], "there are detection, hypothesis"),
    ],
)
def test_what_cannot_be_subscribed_to_is_said(address: str, kinds: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("*", r"\*")):
        Subscriber(address, kinds=kinds)


def test_events_are_typed(sender: RawSender) -> None:
    (event,) = received(sender, ("detection/cam/", plain(0)))
    assert isinstance(event, Detection)
    assert event.runner_up is not None
    assert event.runner_up.gloss == "GOODBYE"
