"""How long a message takes from the publisher to a subscriber in another process on this machine."""

from __future__ import annotations

import subprocess
import sys
import time

import zmq

from engines.errors import PublishError
from stream.events import Detection, RunnerUp
from stream.publisher import Publisher, Stamper
from stream.subscriber import Subscriber

INTERVAL_S = 0.001
WARM_UP = 50
PATIENCE_S = 20.0


def measure_loopback(count: int) -> list[float]:
    """Publish `count` detections at about 1 kHz to a subscriber in another process.

    Returns:
        For each the milliseconds from its stamp to the subscriber's hands, decoded: stamping, encoding, ZeroMQ
        over TCP, decoding. Resolution 1 us.

    Raises:
        PublishError: the subscriber did not start, or did not get all of them.
    """
    stamper = Stamper("loopback")
    with Publisher("tcp://127.0.0.1:*") as publisher:
        # A process of its own, as a real subscriber is: a thread would compete for this one's interpreter lock.
        command = [sys.executable, "-m", "stream.loopback", publisher.endpoint, str(count + WARM_UP)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                _knock(publisher, process)
                for number in range(count + WARM_UP):
                    publisher.send(_detection(stamper, number))
                    time.sleep(INTERVAL_S)
                out, _ = process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired as error:
                raise PublishError("the loopback subscriber did not answer") from error
            finally:
                process.kill()
    latencies_ms = [float(word) for word in out.split()[1:]]
    if len(latencies_ms) != count + WARM_UP:
        raise PublishError(f"the loopback subscriber got {len(latencies_ms)} of {count + WARM_UP} messages")
    return latencies_ms[WARM_UP:]


def _knock(publisher: Publisher, process: subprocess.Popen[str]) -> None:
    """Send messages on another topic until the subscriber says that it hears."""
    stamper = Stamper("knock")
    end_s = time.monotonic() + PATIENCE_S
    heard = zmq.Poller()
    heard.register(process.stdout, zmq.POLLIN)
    while not heard.poll(20):
        if time.monotonic() > end_s:
            raise subprocess.TimeoutExpired(process.args, PATIENCE_S)
        publisher.send(_detection(stamper, 0))


def _detection(stamper: Stamper, number: int) -> Detection:
    return stamper.stamp(
        Detection,
        segment=0,
        id=str(number),
        gloss="HELLO",
        score=0.83,
        confidence=0.9,
        start_s=12.0,
        end_s=12.6,
        peak_s=12.3,
        runner_up=RunnerUp(gloss="GOODBYE", score=0.61),
        per_encoder={"slgcn2d": 0.83},
        processing_ms=41.0,
        lag_ms=230.0,
    )


def _subscribe(endpoint: str, count: int) -> None:
    latencies_ms: list[float] = []
    heard = False
    with Subscriber(endpoint, kinds=["detection"], timeout_s=PATIENCE_S) as events:
        for event in events:
            now_us = time.time_ns() // 1000
            if not isinstance(event, Detection):
                continue
            if event.stream == "loopback":
                latencies_ms.append((now_us - event.time_us) / 1000)
            elif not heard:
                heard = True
                print("heard", flush=True)
            if len(latencies_ms) == count:
                break
    print(*latencies_ms, sep="\n")


if __name__ == "__main__":
    _subscribe(sys.argv[1], int(sys.argv[2]))
