"""Capture threads that do not come back: a pipe that nobody writes to blocks FFmpeg where no timeout helps."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edgenode.capture.camera import MOST_ABANDONED, Camera
from edgenode.capture.picture_watch import WatchLimits
from edgenode.capture.regions import RegionCutter
from edgenode.capture.turns import Turns
from edgenode.clock import SystemClock
from edgenode.records import U8, CameraStatus, Sample
from edgenode.settings import RegionSettings
from tests.capture_parts import DEADLINE_S, Recorder, camera_spec, running
from tests.clips import number_of, numbered_clip

AT_ONCE = WatchLimits(hung_after_s=0.2)
SOON, LATER = WatchLimits(hung_after_s=1.0), WatchLimits(hung_after_s=3.0)
"""A thread must not seem to hang that waits for its turn on a loaded machine."""
SETTINGS = {"open_timeout": 0.1, "read_timeout": 0.1}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@contextmanager
def blocking_pipe(path: Path) -> Iterator[None]:
    """Who opens `path` waits until the end of the `with` block, whatever the path names by then."""
    os.mkfifo(path)
    inode = path.with_suffix(".pipe")
    os.link(path, inode)
    try:
        yield
    finally:
        # with a writer all who wait go on, and find an empty stream
        os.close(os.open(inode, os.O_RDWR | os.O_NONBLOCK))
        writer = os.open(inode, os.O_RDWR | os.O_NONBLOCK)
        os.close(writer)


def test_a_thread_that_never_returns_is_abandoned_replaced_and_counted(
    nothing_left_behind: None, tmp_path: Path, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    steady = Recorder()
    with (
        running(camera_spec("synthetic:numbers", tmp_path), steady, limits=SOON),
        blocking_pipe(tmp_path / "c.mp4"),
        running(camera_spec("c.mp4", tmp_path, fps=0, **SETTINGS), recorder, limits=SOON) as camera,
    ):
        recorder.wait(lambda: recorder.counts["abandoned"] >= 1)
        report = recorder.wait_status(CameraStatus.OFFLINE)
        assert "has not answered" in report.reason
        numbered_clip(tmp_path / "whole.mp4", 5).replace(tmp_path / "c.mp4")
        recorder.wait(lambda: len(recorder.samples) == 5)
        assert [number_of(sample.array) for sample in recorder.samples] == list(range(5))
        assert recorder.counts["abandoned"] <= 2
        assert SystemClock().monotonic() - camera.heartbeat_s < DEADLINE_S
        steady.wait_samples(2)
        assert steady.counts["abandoned"] == 0
    assert "its thread has not come back from its source" in caplog.text
    assert "av.open" in caplog.text


def test_only_so_many_threads_of_a_camera_may_hang_and_then_its_heart_stops(
    nothing_left_behind: None, tmp_path: Path, recorder: Recorder
) -> None:
    with (
        blocking_pipe(tmp_path / "c.mp4"),
        running_hung(camera_spec("c.mp4", tmp_path, **SETTINGS), recorder) as camera,
    ):
        recorder.wait(lambda: recorder.counts["abandoned"] == MOST_ABANDONED)
        recorder.wait(lambda: SystemClock().monotonic() - camera.heartbeat_s > 1.0)
        assert recorder.counts["abandoned"] == MOST_ABANDONED
        hung = [thread for thread in threading.enumerate() if thread.name == "camera-cam"]
        assert len(hung) == MOST_ABANDONED + 1


@contextmanager
def running_hung(spec: object, recorder: Recorder) -> Iterator[Camera]:
    """As `running`, for a camera whose thread does not end with it."""
    camera = Camera(replace(spec, limits=AT_ONCE), recorder.offer, recorder, SystemClock())  # type: ignore[type-var]
    camera.start()
    try:
        yield camera
    finally:
        camera.stop()
        assert not camera.join(0.1)


def test_a_thread_that_hangs_gives_up_its_turn_and_has_no_say_when_it_comes_back(
    nothing_left_behind: None, tmp_path: Path, recorder: Recorder
) -> None:
    """One turn for two cameras: who holds it hangs; who waits for it does not count as hanging."""
    release = threading.Event()
    calls = 0

    def stuck_once(picture: U8) -> U8:
        nonlocal calls
        calls += 1
        if calls == 1:
            assert release.wait(DEADLINE_S)
        return picture

    turns = Turns(1)
    cutter = RegionCutter("r", "m", RegionSettings(name="r"), stuck_once)
    spec = camera_spec("synthetic:numbers?fps=20", tmp_path, fps=0, **SETTINGS)
    first = Camera(
        replace(spec, cutters=(cutter,), limits=LATER), recorder.offer, recorder, SystemClock(), turns.turn()
    )
    other = Recorder()
    second = Camera(replace(spec, limits=LATER), other.offer, other, SystemClock(), turns.turn())
    first.start()
    recorder.wait(lambda: calls == 1)
    second.start()
    try:
        other.wait_samples(3)
        recorder.wait_samples(3)
        assert recorder.counts["abandoned"] == 1
        assert other.counts["abandoned"] == 0
        indexes = indexes_of(recorder.samples)
        release.set()
        recorder.wait_samples(3)
        indexes = indexes_of(recorder.samples)
        assert indexes == sorted(set(indexes)), "the thread that was given up said something"
        assert 0 not in indexes
    finally:
        release.set()
        for camera in (first, second):
            camera.stop()
            assert camera.join(DEADLINE_S)


def indexes_of(samples: list[Sample]) -> list[int]:
    return [sample.frame_index for sample in samples]


def test_a_thread_that_only_waits_for_its_next_picture_is_left_alone(
    tmp_path: Path, recorder: Recorder
) -> None:
    """A scene of one picture in ten seconds, and a folder in which nothing happens."""
    (tmp_path / "in").mkdir()
    quiet = Recorder()
    with (
        running(
            camera_spec("synthetic:numbers?fps=0.1", tmp_path, fps=0, **SETTINGS), recorder, limits=LATER
        ),
        running(camera_spec("in", tmp_path, **SETTINGS), quiet, limits=LATER),
    ):
        recorder.wait(lambda: len(recorder.reports) >= 3)
        quiet.wait(lambda: len(quiet.reports) >= 3)
    assert recorder.counts["abandoned"] == quiet.counts["abandoned"] == 0
