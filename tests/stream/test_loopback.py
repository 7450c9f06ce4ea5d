"""The figure for publish -> subscriber: from another process, one for each message."""

from __future__ import annotations

from stream.loopback import measure_loopback


def test_every_message_is_timed_on_its_way_to_another_process() -> None:
    latencies_ms = measure_loopback(200)
    assert len(latencies_ms) == 200
    # No message is older than the process or from the future; the budget is the benchmark's business.
    assert all(0 < latency_ms < 5000 for latency_ms in latencies_ms)
