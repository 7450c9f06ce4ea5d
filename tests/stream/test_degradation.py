"""A machine that is too slow must give up quality in the stated order, say why, and take it back by itself."""

from __future__ import annotations

from itertools import pairwise

from stream.degradation import CALM_S, SETTLE_S, Governor, Level, ladder

S = 1_000_000_000


def run(
    governor: Governor, start_s: float, seconds: float, *, dropped: int = 0, busy: float = 0.3
) -> list[int]:
    """Feed one observation every 40 ms; returns the level after each."""
    levels = []
    for tick in range(int(seconds * 25)):
        governor.observe(int((start_s + tick * 0.04) * S) + 1, dropped=dropped, waited_ms=2.0, busy=busy)
        levels.append(governor.level)
    return levels


def test_the_order_is_rgb_then_3d_then_pose_rate() -> None:
    levels = ladder(["slgcn2d", "slgcn3d", "i3d"], pictures=["i3d"])
    assert [level.stride("i3d") for level in levels] == [1, 2, 4, 4, 4, 4, 4, 4]
    assert [level.stride("slgcn3d") for level in levels] == [1, 1, 1, 2, 4, 4, 4, 4]
    assert [level.pose_stride for level in levels] == [1, 1, 1, 1, 1, 2, 2, 4]
    assert [level.stride("slgcn2d") for level in levels] == [1, 1, 1, 1, 1, 1, 2, 4]


def test_one_encoder_leaves_only_pose_and_its_own_stride_to_give_up() -> None:
    assert ladder(["slgcn2d"])[1] == Level(2, {}, "pose every 80 ms")


def test_overload_goes_down_the_ladder_one_step_at_a_time() -> None:
    governor = Governor(ladder(["slgcn2d"]))
    levels = run(governor, 10.0, 3 * SETTLE_S + 1, dropped=1)
    assert max(levels) == 3
    steps = [b - a for a, b in pairwise(levels)]
    assert set(steps) <= {0, 1}
    assert "frame dropped" in governor.reason


def test_frames_that_are_far_too_late_hurry_it() -> None:
    governor = Governor(ladder(["slgcn2d", "slgcn3d"]))
    governor.observe(1, dropped=0, waited_ms=0.0, busy=0.9)
    for tenth in range(1, 31):
        governor.observe(1 + tenth * 100_000_000, dropped=0, waited_ms=500.0, busy=1.0)
    assert governor.level == 4, "3 s of it; the same with 200 ms gives up one level"
    leisurely = Governor(ladder(["slgcn2d", "slgcn3d"]))
    leisurely.observe(1, dropped=0, waited_ms=0.0, busy=0.9)
    for tenth in range(1, 31):
        leisurely.observe(1 + tenth * 100_000_000, dropped=0, waited_ms=200.0, busy=1.0)
    assert leisurely.level == 1


def test_full_quality_comes_back_after_calm_with_head_room() -> None:
    governor = Governor(ladder(["slgcn2d"]))
    run(governor, 10.0, SETTLE_S + 0.2, dropped=1)
    assert governor.level == 1
    levels = run(governor, 13.0, CALM_S + 1)
    assert levels[-1] == 0
    assert "full quality again" in governor.reason


def test_no_recovery_while_the_machine_is_busy() -> None:
    governor = Governor(ladder(["slgcn2d"]))
    run(governor, 10.0, SETTLE_S + 0.2, dropped=1)
    assert run(governor, 13.0, 30, busy=0.6)[-1] == 1, (
        "0.6 at half the pose rate would be 1.2 at the full one"
    )


def test_a_recovery_that_fails_makes_the_next_one_wait_longer() -> None:
    governor = Governor(ladder(["slgcn2d"]))
    run(governor, 10.0, SETTLE_S + 0.2, dropped=1)
    run(governor, 13.0, CALM_S + 0.5)
    assert governor.level == 0
    run(governor, 20.0, 1.0, dropped=1)
    assert governor.level == 1
    levels = run(governor, 23.0, 2 * CALM_S + 1)
    first = next(i for i, level in enumerate(levels) if level == 0) * 0.04
    assert first > CALM_S + 1


def test_start_up_is_not_overload() -> None:
    governor = Governor(ladder(["slgcn2d"]))
    assert not governor.observe(S, dropped=40, waited_ms=900.0, busy=1.0)
    assert governor.level == 0
