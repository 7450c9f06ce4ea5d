"""Stream seconds must never go back, whatever a camera's clock does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.timeline import Timeline

SECOND = 1_000_000_000


def ns(seconds: float) -> int:
    return round(seconds * SECOND)


def test_a_file_starts_at_zero_and_keeps_its_own_time() -> None:
    timeline = Timeline()
    timeline.begin()
    places = [timeline.place(media_s, ns(5), finite=True) for media_s in (0.0, 0.04, 7.5)]
    assert places == [(0.0, 0), (0.04, 0), (7.5, 0)], "a pause in a file is no reconnect, at any speed"


def test_network_jitter_does_not_reach_stream_seconds() -> None:
    timeline = Timeline()
    arrivals_s = [100.0, 100.09, 100.10, 102.4, 102.41]  # a burst after two seconds of silence
    places = [
        timeline.place(50 + 0.04 * number, ns(at_s), finite=False) for number, at_s in enumerate(arrivals_s)
    ]
    assert [place[0] for place in places if place] == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16])


def test_after_a_reconnect_time_continues_by_the_capture_clock() -> None:
    timeline = Timeline()
    assert timeline.place(900.0, ns(10), finite=False) == (0.0, 0)
    timeline.begin()
    assert timeline.place(3.0, ns(17.5), finite=False) == (7.5, 1)
    place = timeline.place(3.04, ns(17.6), finite=False)
    assert place is not None
    assert (round(place[0], 6), place[1]) == (7.54, 1)


def test_after_a_reconnect_time_never_goes_back_though_the_camera_ran_ahead() -> None:
    timeline = Timeline()
    timeline.place(0.0, ns(10), finite=False)
    for number in range(1, 31):  # buffered pictures come all at once
        timeline.place(0.04 * number, ns(10.001), finite=False)
    timeline.begin()
    place = timeline.place(0.0, ns(10.5), finite=False)
    assert place is not None
    assert (round(place[0], 6), place[1]) == (1.201, 1)


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 5.0])
def test_a_camera_whose_clock_is_set_begins_anew(jump_s: float) -> None:
    timeline = Timeline()
    timeline.place(5000.0, ns(10), finite=False)
    place = timeline.place(5000.04 + jump_s, ns(10.04), finite=False)
    assert place is not None
    assert (round(place[0], 6), place[1]) == (0.04, 1)


def test_lost_pictures_are_a_gap_and_no_jump() -> None:
    timeline = Timeline()
    timeline.place(5.0, ns(10), finite=False)
    place = timeline.place(8.0, ns(13), finite=False)
    assert place == (3.0, 0)


def test_pictures_out_of_order_are_discarded() -> None:
    timeline = Timeline()
    timeline.place(1.0, ns(1), finite=False)
    timeline.place(1.08, ns(1.08), finite=False)
    assert timeline.place(1.04, ns(1.09), finite=False) is None
    assert timeline.place(1.08, ns(1.10), finite=False) is None
    assert timeline.place(1.12, ns(1.12), finite=False) is not None


def test_a_camera_without_time_stamps_goes_by_the_capture_clock() -> None:
    timeline = Timeline()
    places = [timeline.place(None, ns(at_s), finite=False) for at_s in (20.0, 20.05, 20.08)]
    assert [place[0] for place in places if place] == pytest.approx([0.0, 0.05, 0.08])


@given(
    st.lists(
        st.tuples(st.floats(-10, 10), st.floats(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=40
    )
)
def test_time_never_goes_back(steps: list[tuple[float, float, bool, bool]]) -> None:
    timeline, media_s, clock_s = Timeline(), 100.0, 50.0
    last = (-1.0, 0)
    for media_step_s, clock_step_s, stamped, reconnected in steps:
        media_s, clock_s = media_s + media_step_s, clock_s + clock_step_s
        if reconnected:
            timeline.begin()
        place = timeline.place(media_s if stamped else None, ns(clock_s), finite=False)
        if place is not None:
            assert place[0] > last[0]
            assert place[1] >= last[1]
            last = place
