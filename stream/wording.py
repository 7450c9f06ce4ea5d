"""Figures of a status message in words, the same in the terminal and in the window."""

from __future__ import annotations

from stream.events import Status


def state(status: Status) -> str:
    """State of the source and why: "stalled (no picture for 3 s)"."""
    return f"{status.state} ({status.state_reason})" if status.state_reason else status.state


def rates(status: Status) -> str:
    """Frame rates and what was dropped: "29.9 fps in, 25.0 ticks/s, dropped 3 (overwritten 3), 1 gap"."""
    text = f"{status.fps_in:.1f} fps in, {status.fps_processed:.1f} ticks/s"
    reasons = {reason: count for reason, count in status.frames_dropped.items() if count}
    if reasons:
        told = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
        text += f", dropped {sum(reasons.values())} ({told})"
    else:
        text += ", none dropped"
    if status.gaps:
        text += f", {status.gaps} gap{'s' if status.gaps > 1 else ''}"
    return text


def latency(status: Status) -> str:
    """Processing latency and CPU time: "p50 38, p95 61, p99 88 ms; 41 CPU-ms a tick"."""
    taken = status.processing_ms
    text = f"p50 {taken.p50:.0f}, p95 {taken.p95:.0f}, p99 {taken.p99:.0f} ms" if taken else "not known yet"
    if status.cpu_ms_per_tick is not None:
        text += f"; {status.cpu_ms_per_tick:.0f} CPU-ms a tick"
    return text


def quality(status: Status) -> str:
    """What is given up and why: "level 2: pose every 80 ms (the machine is too slow: 3 frames dropped)"."""
    now = status.degradation
    if not now.level:
        return f"full ({now.reason})"
    return f"level {now.level}: {now.gives_up} ({now.reason})"
