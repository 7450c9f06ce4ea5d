"""Publishing: nobody is waited for, latecomers see the status, and nothing leaves this machine unprotected."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
import zmq

from engines.errors import ConfigError, PublishError
from stream.events import Detection, Preview, Status
from stream.publisher import Publisher, Stamper
from stream.subscriber import Lost, Subscriber
from tests.stream.samples import HEADER, detection, status

DETECTION = {name: getattr(detection(), name) for name in detection().__struct_fields__ if name not in HEADER}
STATUS = {name: getattr(status(), name) for name in status().__struct_fields__ if name not in HEADER}
del DETECTION["v"], STATUS["v"]


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher("tcp://127.0.0.1:*") as publisher:
        yield publisher


def connected(publisher: Publisher) -> Subscriber:
    """A subscriber that has received something: it is there, and its subscription too."""
    subscriber = Subscriber(publisher.endpoint, kinds=["detection"])
    knock = Stamper("knock")
    end_s = time.monotonic() + 10
    while subscriber.receive(0.01) is None:
        assert time.monotonic() < end_s, "the subscriber never got anything"
        publisher.send(knock.stamp(Detection, segment=0, **DETECTION))
    while subscriber.receive(0.05) is not None:
        pass
    return subscriber


def test_seq_counts_from_zero_per_kind_without_gaps_even_from_many_threads() -> None:
    stamper = Stamper("cam")
    seen: list[int] = []

    def work() -> None:
        for _ in range(500):
            seen.append(stamper.stamp(Detection, segment=0, **DETECTION).seq)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(2000))
    assert stamper.stamp(Status, segment=0, **STATUS).seq == 0


def test_each_start_has_its_own_epoch_and_time_is_utc_microseconds() -> None:
    message = Stamper("cam").stamp(Detection, segment=0, **DETECTION)
    assert message.epoch != Stamper("cam").epoch
    assert abs(message.time_us / 1e6 - time.time()) < 5
    assert message.time_us < 2**53, "JavaScript would round it"


@pytest.mark.parametrize("name", ["", "a/b", "a\nb"])
def test_a_stream_name_that_would_break_topics_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="stream's name"):
        Stamper(name)


def test_a_star_takes_a_free_port_and_says_which(publisher: Publisher) -> None:
    assert int(publisher.endpoint.rpartition(":")[2]) > 0
    with Publisher("tcp://127.0.0.1:*") as second:
        assert second.endpoint != publisher.endpoint


def test_the_two_frames_are_topic_and_messagepack(publisher: Publisher) -> None:
    # A bare socket and msgpack by another route than the subscriber's: what a foreign client sees.
    with zmq.Context() as context, context.socket(zmq.SUB) as raw:
        raw.subscribe("status/cam/")
        raw.connect(publisher.endpoint)
        publisher.send(status(seq=4))
        assert raw.poll(5000)
        topic, payload = raw.recv_multipart()
    assert topic == b"status/cam/"
    assert msgspec.msgpack.decode(payload)["seq"] == 4


def test_json_on_demand() -> None:
    with Publisher("tcp://127.0.0.1:*", encoding="json") as publisher, connected(publisher) as subscriber:
        publisher.send(detection("HELLO"))
        assert subscriber.receive(5) == detection("HELLO")


def test_a_late_subscriber_gets_the_newest_status_at_once_with_its_old_number(publisher: Publisher) -> None:
    for seq in range(3):
        publisher.send(status(seq=seq))
    with Subscriber(publisher.endpoint, kinds=["status"]) as subscriber:
        assert subscriber.receive(5) == status(seq=2), "nothing is sent any more: it comes for the asking"


def test_every_latecomer_gets_it_and_those_who_have_it_see_it_once(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint, kinds=["status"]) as early:
        publisher.send(status(seq=0))
        assert early.receive(5) == status(seq=0)
        for _ in range(3):
            with Subscriber(publisher.endpoint, kinds=["status"]) as late:
                assert late.receive(5) == status(seq=0)
        publisher.send(status(seq=1))
        assert early.receive(5) == status(seq=1), "the repetitions are dropped by their number"


def test_who_does_not_want_the_status_does_not_get_it(publisher: Publisher) -> None:
    publisher.send(status(seq=0))
    with Subscriber(publisher.endpoint, kinds=["detection"]) as subscriber:
        assert subscriber.receive(0.5) is None


def test_a_subscriber_that_never_reads_harms_nobody(publisher: Publisher) -> None:
    jpeg = np.random.default_rng(0).bytes(60_000)
    with zmq.Context() as context, context.socket(zmq.SUB) as stuck, connected(publisher) as reader:
        stuck.linger = 0
        stuck.rcvhwm = 1
        stuck.subscribe("")
        stuck.connect(publisher.endpoint)
        time.sleep(0.3)
        got: list[Detection] = []
        delays_ms: list[float] = []
        send_ms: list[float] = []

        def read() -> None:
            while len(got) < 200 and (event := reader.receive(5)) is not None:
                if isinstance(event, Detection):
                    delays_ms.append(time.time_ns() / 1e6 - event.time_us / 1e3)
                    got.append(event)

        thread = threading.Thread(target=read)
        thread.start()
        before = psutil.Process().memory_info().rss
        stamper = Stamper("cam")
        for number in range(4000):  # 240 MB
            start_s = time.monotonic()
            publisher.send(stamper.stamp(Preview, segment=0, pts_s=0.0, jpeg=jpeg))
            if number % 20 == 0:
                publisher.send(stamper.stamp(Detection, segment=0, **DETECTION))
                time.sleep(0.005)
            send_ms.append((time.monotonic() - start_s) * 1e3)
        thread.join(20)
        grown_mb = (psutil.Process().memory_info().rss - before) / 1e6
    assert len(got) == 200, "one that reads gets everything"
    assert grown_mb < 100, "what the stuck one does not take is dropped, not hoarded"
    # Budgets are the benchmark's business; these bounds only tell waiting from not waiting.
    assert np.median(send_ms) < 10
    assert np.median(delays_ms) < 200


def test_a_subscriber_that_dies_harms_nobody(publisher: Publisher) -> None:
    with connected(publisher) as reader:
        with socket.create_connection(("127.0.0.1", int(publisher.endpoint.rpartition(":")[2]))) as foreign:
            foreign.sendall(b"GET / HTTP/1.1\r\n\r\n")  # no subscriber at all
        for _ in range(20):
            Subscriber(publisher.endpoint).close()
        for seq in range(50):
            publisher.send(detection(seq=seq))
        assert [getattr(reader.receive(5), "seq", None) for _ in range(50)] == list(range(50))


def test_closing_hands_over_what_was_sent_and_frees_the_port() -> None:
    publisher = Publisher("tcp://127.0.0.1:*")
    with connected(publisher) as reader:
        for seq in range(100):
            publisher.send(detection(seq=seq))
        publisher.close()
        publisher.send(detection(seq=100))  # a thread that is still finishing: no error
        got = [reader.receive(5) for _ in range(100)]
    assert not any(isinstance(event, Lost) for event in got)
    assert got[-1] == detection(seq=99)
    Publisher(publisher.endpoint).close()


def test_closing_does_not_wait_for_a_subscriber_that_never_reads() -> None:
    publisher = Publisher("tcp://127.0.0.1:*")
    with zmq.Context() as context, context.socket(zmq.SUB) as stuck:
        stuck.linger, stuck.rcvhwm = 0, 1
        stuck.subscribe("")
        stuck.connect(publisher.endpoint)
        time.sleep(0.3)
        for seq in range(400):
            publisher.send(Preview(**HEADER | {"seq": seq}, pts_s=0.0, jpeg=bytes(60_000)))
        start_s = time.monotonic()
        publisher.close()
        assert time.monotonic() - start_s < 1.0, "Ctrl-C has to stop within a second"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("tcp://*:5570", "signspot keys make"),  # every interface
        ("tcp://0.0.0.0:5570", "--insecure"),  # the same in numbers
        ("tcp://192.168.1.7:5570", "other machines"),  # an address of the network
        ("tcp://[::]:5570", "other machines"),  # every interface, IPv6
        ("127.0.0.1:5570", "tcp://127.0.0.1:5570"),  # no transport
        ("http://127.0.0.1:5570", "not a transport"),  # not ours
        ("tcp://127.0.0.1", "lacks a host or a port"),
        ("tcp://127.0.0.1:99999", "65535"),
        ("ipc:///no/such/folder/socket", "cannot publish on ipc:///no/such/folder/socket"),
    ],
)
def test_an_address_that_cannot_or_must_not_be_bound_says_what_to_do(address: str, says: str) -> None:
    with pytest.raises(PublishError) as caught:
        Publisher(address)
    assert says in str(caught.value)


def test_a_port_in_use_is_named(publisher: Publisher) -> None:
    with pytest.raises(PublishError, match="publishes there already") as caught:
        Publisher(publisher.endpoint)
    assert publisher.endpoint in str(caught.value)


def test_an_address_that_this_machine_does_not_have_is_named() -> None:
    with pytest.raises(PublishError, match="no such address or interface"):
        Publisher("tcp://203.0.113.7:5570", insecure=True)  # RFC 5737: nobody's


def test_insecure_in_so_many_words_binds_beyond_this_machine() -> None:
    with Publisher("tcp://0.0.0.0:*", insecure=True) as publisher:
        port = publisher.endpoint.rpartition(":")[2]
        publisher.send(status())
        with Subscriber(f"tcp://127.0.0.1:{port}") as subscriber:
            assert subscriber.receive(5) == status()


@pytest.mark.parametrize("address", ["tcp://localhost:*", "tcp://[::1]:*", "ipc://{folder}/socket"])
def test_every_local_address_needs_no_keys(address: str, tmp_path: Path) -> None:
    if "::1" in address and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    with Publisher(address.format(folder=tmp_path)) as publisher:
        publisher.send(status())
        with Subscriber(publisher.endpoint) as subscriber:
            assert subscriber.receive(5) == status()


def test_inside_a_program_inproc_serves() -> None:
    with zmq.Context() as context, Publisher("inproc://events", context=context) as publisher:
        publisher.send(status())
        with Subscriber("inproc://events", context=context) as subscriber:
            assert subscriber.receive(5) == status()


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
