"""Whole runs with real parts: nothing dropped that need not be, nothing mixed, and every run repeatable to the bit."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engines.encoders import DEFAULT_ENCODERS, find_bundle
from engines.pose.blaze.estimator import BlazePose
from stream.demo import gallery_clips, stream_path
from stream.events import (
    Detection,
    Hypothesis,
    LandmarksEvent,
    Message,
    Preview,
    SourceState,
    Status,
    from_float16,
)
from stream.frame import Frame
from stream.gallery import INDEX, Gallery
from stream.ledger import FrameLine, GalleryLine, read_lines
from stream.pipeline import Options, Pipeline
from stream.replay import differences
from stream.sources import open_source
from stream.sources.base import Source, SourceChange
from tests.stream.running import (
    GLOSSES,
    Flickering,
    Playlist,
    SlowPose,
    make_gallery,
    replayed,
    run_pipeline,
    said,
)

POSE_WITH_HEAD_ROOM_MS = 45.0
"""Of the 120 between two thinned frames: with more it is right to stay at half the pose rate (0.425 of the time)."""


class Thinned:
    """A source of which every n-th frame is delivered, so that a busy machine has head-room for them."""

    def __init__(self, source: Source) -> None:
        self.every = 1
        self._source = source
        self.name, self.realtime = source.name, source.realtime
        self.discarded, self.stop = source.discarded, source.stop

    def start(self, on_frame: Callable[[Frame], None], on_change: Callable[[SourceChange], None]) -> None:
        self._source.start(
            lambda frame: on_frame(frame) if frame.index % self.every == 0 else None, on_change
        )


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("galleries") / "three")


@pytest.fixture(scope="module")
def clips() -> dict[str, Path]:
    return gallery_clips()


def test_a_sign_is_spotted_once_with_all_that_the_wire_promises(
    gallery: Path, clips: dict[str, Path]
) -> None:
    messages = run_pipeline(open_source(str(clips["HELLO"]), speed="max"), gallery=gallery)
    detections = [message for message in messages if isinstance(message, Detection)]
    assert [detection.gloss for detection in detections] == ["HELLO"]
    found = detections[0]
    assert 0 <= found.start_s < found.peak_s < found.end_s < 2.5
    assert 0 < found.confidence <= 1
    assert found.runner_up is not None
    assert found.runner_up.gloss in GLOSSES
    assert found.runner_up.score < found.score
    assert set(found.per_encoder) == set(DEFAULT_ENCODERS)
    weights = {name: find_bundle(name).card.fusion_weight for name in found.per_encoder}
    fused = sum(weights[name] * cosine for name, cosine in found.per_encoder.items())
    assert found.score == pytest.approx(fused / sum(weights.values()), abs=1e-5)
    assert found.lag_ms is None, "played faster than real time"
    assert found.processing_ms > 0
    last = messages[-1]
    assert isinstance(last, Status)
    assert [one.state for one in messages if isinstance(one, Status)].count("ended") == 1, (
        "once all is spotted"
    )
    assert (last.state, last.frames_dropped["overwritten"], last.glosses) == ("ended", 0, 3)
    assert {"pose", "ticks", "windows", *DEFAULT_ENCODERS, "similarity", "spotting", "publish"} <= set(
        last.stages
    )


def test_real_time_and_full_speed_say_the_same(gallery: Path, clips: dict[str, Path]) -> None:
    fast = run_pipeline(open_source(str(clips["HOUSE"]), speed="max"), gallery=gallery)
    for _ in range(3):  # a busy machine drops frames or gives up quality: another try may find it free
        live = run_pipeline(open_source(str(clips["HOUSE"]), speed="realtime"), gallery=gallery)
        told = [message for message in live if isinstance(message, Status)]
        if not told[-1].frames_dropped["overwritten"] and not any(one.degradation.level for one in told):
            break
    else:
        pytest.skip("this machine is too busy to play a clip in real time at full quality")
    assert said(fast)
    assert list(differences(fast, live)) == []
    lag = [message.lag_ms for message in live if isinstance(message, Detection)]
    assert all(value is not None and value > 0 for value in lag)


@pytest.mark.timeout(400)
def test_a_run_that_gives_up_quality_and_takes_it_back_repeats_to_the_bit(
    gallery: Path, tmp_path: Path
) -> None:
    """A machine that needs 120 ms a pose drops frames and steps down; free again it goes back to full quality."""

    def watch(pipeline: Pipeline) -> None:
        def wait(happened: Callable[[Status], bool], within_s: float) -> Status | None:
            deadline_s = time.monotonic() + within_s
            while time.monotonic() < deadline_s:
                if pipeline.status is not None and happened(pipeline.status):
                    return pipeline.status
                time.sleep(0.02)
            return None

        reduced = wait(
            lambda status: status.degradation.level >= 2 and status.frames_dropped["overwritten"] > 0, 60
        )
        assert reduced is not None, "quality must degrade"
        pose.extra_s, source.every = 0.0, 3
        assert "too slow" in reduced.degradation.reason
        full = wait(lambda status: status.degradation.level == 0, 150)
        if full is None:
            assert pipeline.status is not None
            work_ms = pipeline.status.stages["pose"].work_ms.p50
            assert work_ms > POSE_WITH_HEAD_ROOM_MS, "quality must recover"
            pytest.skip(f"this machine is too busy for full quality: {work_ms:.0f} ms a pose")
        assert full.degradation.reason.startswith("full quality again: ")
        assert full.degradation.gives_up == "nothing"
        wait(lambda status: status.frames_in > full.frames_in + 10, 30)  # frames at full quality

    pose, source = SlowPose(0.12), Thinned(open_source(str(stream_path()), speed="realtime", loop=True))
    run = tmp_path / "run"
    messages = run_pipeline(source, gallery=gallery, estimator=pose, record=run, meanwhile=watch)
    lines = [line for line in read_lines(run) if isinstance(line, FrameLine)]
    levels = [line.level for line in lines]
    assert levels[0] == 0
    assert max(levels) >= 2
    assert 0 in levels[levels.index(max(levels)) :]
    assert max(abs(after - before) for before, after in pairwise(levels)) == 1, "level by level, both ways"
    assert sum(line.dropped for line in lines) > 0
    assert said(messages)
    assert list(differences(replayed(run), messages)) == []


def test_a_reconnect_starts_a_new_segment_and_repeats_to_the_bit(
    gallery: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    source = Playlist([clips["THANKS"], clips["HELLO"]], realtime=False)
    messages = run_pipeline(source, gallery=gallery, record=tmp_path / "run")
    found = [message for message in messages if isinstance(message, Detection)]
    assert [(one.gloss, one.segment) for one in found] == [("THANKS", 0), ("HELLO", 1)]
    assert found[0].end_s < found[1].start_s
    assert list(differences(replayed(tmp_path / "run"), messages)) == []


def test_a_run_that_was_stopped_in_the_middle_of_a_sentence_repeats_to_the_bit(
    gallery: Path, tmp_path: Path
) -> None:
    """Ctrl-C is how a camera's run ends: what was open then must not count as a difference."""

    def stop_after_a_sign(pipeline: Pipeline) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not any(isinstance(one, Detection) for one in seen):
            time.sleep(0.02)

    seen: list[Message] = []
    run_pipeline(
        open_source(str(stream_path()), speed="max"),
        gallery=gallery, record=tmp_path / "run", meanwhile=stop_after_a_sign, messages=seen,
    )  # fmt: skip
    assert [one.state for one in seen if isinstance(one, Hypothesis)][-1] == "stable", "an open utterance"
    assert list(differences(replayed(tmp_path / "run"), seen)) == []


def test_every_change_of_the_source_is_told_however_short(tmp_path: Path) -> None:
    """A camera that stalls is reopened at once: who listens must see both."""
    states: tuple[SourceState, ...] = (
        "connecting",
        "live",
        "stalled",
        "reconnecting",
        "live",
        "stalled",
        "ended",
    )
    messages = run_pipeline(Flickering(states), gallery=None)
    told = [(one.state, one.state_reason) for one in messages if isinstance(one, Status)]
    changes = [pair for before, pair in zip([None, *told], told, strict=False) if pair != before]
    assert changes[-len(states) :] == [(state, str(number)) for number, state in enumerate(states)]


def until(pipeline: Pipeline, happened: Callable[[Status], bool]) -> Status:
    """The first status of which something holds."""
    for _ in range(600):
        if pipeline.status is not None and happened(pipeline.status):
            return pipeline.status
        time.sleep(0.05)
    raise AssertionError(f"it did not happen: {pipeline.status}")


def taken_up(run: Path) -> list[GalleryLine]:
    return [line for line in read_lines(run) if isinstance(line, GalleryLine)]


def test_an_edited_gallery_is_taken_up_at_once_and_whole(
    clips: dict[str, Path], gallery: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(gallery, mine)

    def edit(pipeline: Pipeline) -> None:
        for _ in range(200):
            time.sleep(0.05)
            if (
                pipeline.status is not None
                and pipeline.status.glosses == 3
                and pipeline.status.fps_processed > 0
            ):
                break
        Gallery.load(mine).without("HELLO").save()
        for _ in range(200):
            time.sleep(0.05)
            if pipeline.status is not None and pipeline.status.glosses == 2:
                return
        raise AssertionError("the edited gallery was not taken up")

    source = open_source(str(stream_path()), speed="realtime", loop=True)
    run_pipeline(source, gallery=mine, record=tmp_path / "run", meanwhile=edit)
    lines = [line for line in read_lines(tmp_path / "run") if isinstance(line, GalleryLine)]
    assert lines, "the ledger must say when the gallery changed"
    assert {Gallery.load(tmp_path / "run" / line.folder).glosses for line in lines} == {("HOUSE", "THANKS")}
    replayed(tmp_path / "run")


def test_an_edited_gallery_of_another_encoder_is_refused_by_name_and_the_old_one_keeps_spotting(
    clips: dict[str, Path], gallery: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(gallery, mine)
    edited = Gallery.load(mine).without(["HELLO"])
    foreign = replace(
        edited,
        exemplars={name: replace(one, fingerprint="c0ffee" * 10) for name, one in edited.exemplars.items()},
    )
    refused: list[Status] = []

    def edit(pipeline: Pipeline) -> None:
        until(pipeline, lambda status: status.fps_processed > 0)
        foreign.save()
        refused.append(until(pipeline, lambda status: status.state_reason != ""))
        spotted = len(heard())
        until(pipeline, lambda status: len(heard()) > spotted)
        assert {one.gloss for one in heard()[spotted:]} == {"HELLO"}, "the sign that the refused edit lacks"
        edited.save()
        until(pipeline, lambda status: status.glosses == 2 and status.state_reason == "")

    def heard() -> list[Detection]:
        return [one for one in tuple(seen) if isinstance(one, Detection)]

    seen: list[Message] = []
    source = open_source(str(clips["HELLO"]), speed="max", loop=True)
    run_pipeline(source, gallery=mine, meanwhile=edit, messages=seen)
    assert (refused[0].state, refused[0].glosses) == ("live", 3)
    assert refused[0].state_reason.startswith(
        f"the edited gallery is not used: the gallery {mine} was made with another {DEFAULT_ENCODERS[0]} encoder "
        "(c0ffeec0ffee, in use is "
    )
    assert f"run `signspot gallery rebuild --gallery {mine}`" in refused[0].state_reason


def test_an_edit_that_is_refused_and_undone_disturbs_no_sign_in_progress(
    clips: dict[str, Path], gallery: Path, tmp_path: Path
) -> None:
    """To take up the edition that is in use would begin the signs in progress anew."""
    mine, run = tmp_path / "mine", tmp_path / "run"
    shutil.copytree(gallery, mine)
    good = Gallery.load(mine)
    foreign = replace(
        good,
        exemplars={name: replace(one, fingerprint="c0ffee" * 10) for name, one in good.exemplars.items()},
    )

    def edit(pipeline: Pipeline) -> None:
        until(pipeline, lambda status: status.fps_processed > 0)
        foreign.save()
        until(pipeline, lambda status: "another" in status.state_reason)
        (mine / INDEX).write_text("{")  # the newest trouble is what is told
        until(pipeline, lambda status: f"{mine / INDEX} is damaged" in status.state_reason)
        good.save()
        until(pipeline, lambda status: status.state_reason == "")
        assert taken_up(run) == []
        good.without(["HELLO"]).save()  # and the next edit is taken up
        until(pipeline, lambda status: status.glosses == 2)

    run_pipeline(
        open_source(str(clips["HELLO"]), speed="max", loop=True), gallery=mine, record=run, meanwhile=edit
    )
    assert [Gallery.load(run / line.folder).glosses for line in taken_up(run)] == [("HOUSE", "THANKS")]


class Asked:
    """A source that, asked for what it discarded (a status is half made then), first lets something happen once."""

    def __init__(self, source: Source) -> None:
        self.first: Callable[[], None] | None = None
        self.name, self.realtime = source.name, source.realtime
        self.start, self.stop = source.start, source.stop
        self._source = source

    def discarded(self) -> dict[str, int]:
        first, self.first = self.first, None
        if first is not None:
            first()
        return self._source.discarded()


def test_a_status_tells_of_one_edition_though_the_next_is_taken_up_while_it_is_made(
    clips: dict[str, Path], gallery: Path, tmp_path: Path
) -> None:
    mine, run = tmp_path / "mine", tmp_path / "run"
    shutil.copytree(gallery, mine)
    edited = Gallery.load(mine).without(["HELLO"])
    source = Asked(open_source(str(clips["HELLO"]), speed="max", loop=True))

    def take_up() -> None:
        edited.save()
        end_s = time.monotonic() + 30
        while not taken_up(run) and time.monotonic() < end_s:
            time.sleep(0.02)

    def edit(pipeline: Pipeline) -> None:
        until(pipeline, lambda status: status.fps_processed > 0)
        (mine / INDEX).write_text("{")
        until(pipeline, lambda status: status.state_reason != "")
        source.first = take_up
        until(pipeline, lambda status: status.glosses == 2 and status.state_reason == "")

    messages = run_pipeline(source, gallery=mine, record=run, meanwhile=edit)
    told = [(one.glosses, "is damaged" in one.state_reason) for one in messages if isinstance(one, Status)]
    changes = [pair for before, pair in zip([None, *told], told, strict=False) if pair != before]
    assert changes == [(3, False), (3, True), (2, False)]
    assert len(taken_up(run)) == 1


def test_landmarks_and_previews_on_demand(clips: dict[str, Path]) -> None:
    options = Options(landmarks=True, preview=True)
    messages = run_pipeline(open_source(str(clips["HELLO"]), speed="realtime"), gallery=None, options=options)
    landmarks = [message for message in messages if isinstance(message, LandmarksEvent)]
    previews = [message for message in messages if isinstance(message, Preview)]
    assert [one.seq for one in landmarks] == list(range(len(landmarks)))
    assert len(landmarks) > 30
    noses = [from_float16(one.pose, 4)[0, 0] for one in landmarks]
    assert 0.3 < np.nanmedian(noses) < 0.7, "the nose is near the middle of the demo's pictures"
    seconds = (messages[-1].time_us - messages[0].time_us) / 1e6  # more than the clip's on a busy machine
    assert 5 <= len(previews) <= 10 * seconds + 1
    assert previews[0].jpeg[:2] == b"\xff\xd8"


def test_stop_returns_within_a_second_and_leaves_no_thread() -> None:
    before = threading.active_count()
    took: list[float] = []

    def stop(pipeline: Pipeline) -> None:
        time.sleep(1.0)
        start = time.monotonic()
        pipeline.stop()
        took.append(time.monotonic() - start)

    run_pipeline(open_source(str(stream_path()), speed="max", loop=True), gallery=None, meanwhile=stop)
    assert took[0] < 1.0
    assert threading.active_count() <= before + 1


def test_the_status_tells_what_executes_the_poses_networks() -> None:
    """Holistic has a runtime of its own, of which there is nothing to choose."""
    for estimator, expected in ((None, {"slgcn2d"}), (BlazePose(), {"slgcn2d", "pose"})):
        source = open_source(str(gallery_clips()["HELLO"]), speed="max")
        messages = run_pipeline(source, gallery=None, encoders=["slgcn2d"], estimator=estimator)
        (last,) = [message for message in messages if isinstance(message, Status)][-1:]
        assert last.engines.keys() == expected
        for engine in last.engines.values():
            assert engine.runtime.startswith("onnxruntime")
            assert (engine.precision, engine.device) == ("float32", "cpu")
            assert engine.reason
