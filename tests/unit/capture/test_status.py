"""A camera's status: what it becomes, what is reported and what is logged."""

from __future__ import annotations

import logging

import pytest

from edgenode.capture.picture_watch import Distrust
from edgenode.capture.source import SourceInfo
from edgenode.capture.status import StatusBoard
from edgenode.clock import ManualClock
from edgenode.records import CameraStatus
from tests.capture_parts import Recorder

LIVE = SourceInfo(640, 480, 25.0, "h264", live=True, finite=False)
FILE = SourceInfo(640, 480, 25.0, "h264", live=False, finite=True)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def board(clock: ManualClock, recorder: Recorder) -> StatusBoard:
    return StatusBoard("cam", recorder, clock, stale_after_s=4.0)


def run(board: StatusBoard, clock: ManualClock, seconds: int, fps: int = 10, frames: bool = True) -> None:
    for _ in range(seconds):
        for _ in range(fps):
            if frames:
                board.alive()
                board.classified(None)
            clock.advance(1.0 / fps)
        board.tick()


def test_a_camera_goes_online_stale_and_online_again(
    board: StatusBoard, clock: ManualClock, recorder: Recorder
) -> None:
    board.tick()
    assert recorder.reports[-1].status is CameraStatus.OFFLINE
    board.opened(LIVE)
    run(board, clock, 10)
    report = recorder.reports[-1]
    assert (report.status, report.width, report.height, report.codec) == (
        CameraStatus.ONLINE,
        640,
        480,
        "h264",
    )
    assert report.fps == pytest.approx(10.0, rel=0.05)
    run(board, clock, 5, frames=False)
    assert recorder.reports[-1].status is CameraStatus.STALE
    stale_since = recorder.reports[-1].since_at
    run(board, clock, 2, frames=False)
    assert recorder.reports[-1].since_at == stale_since
    board.alive()
    assert recorder.reports[-1].status is CameraStatus.ONLINE
    assert recorder.reports[-1].reconnects == 0


def test_a_camera_that_sends_a_picture_every_ten_seconds_is_not_stale(
    board: StatusBoard, clock: ManualClock, recorder: Recorder
) -> None:
    board.opened(LIVE)
    for _ in range(6):
        board.alive()
        run(board, clock, 10, frames=False)
    assert CameraStatus.STALE not in {report.status for report in recorder.reports[20:]}


def test_a_file_is_never_stale(board: StatusBoard, clock: ManualClock, recorder: Recorder) -> None:
    board.opened(FILE)
    board.alive()
    run(board, clock, 60, frames=False)
    assert recorder.reports[-1].status is CameraStatus.ONLINE


def test_reports_come_on_change_and_once_a_second(
    board: StatusBoard, clock: ManualClock, recorder: Recorder
) -> None:
    board.opened(LIVE)
    run(board, clock, 20)
    assert 20 <= len(recorder.reports) <= 22


def test_distrust_shows_and_goes(board: StatusBoard, clock: ManualClock, recorder: Recorder) -> None:
    board.opened(LIVE)
    board.alive()
    board.classified(Distrust(CameraStatus.BLIND, "the picture is black"))
    assert recorder.reports[-1].status is CameraStatus.BLIND
    assert recorder.reports[-1].reason == "the picture is black"
    board.alive()
    assert recorder.reports[-1].status is CameraStatus.BLIND
    board.classified(None)
    assert recorder.reports[-1].status is CameraStatus.ONLINE


def test_reconnects_are_counted(board: StatusBoard, clock: ManualClock, recorder: Recorder) -> None:
    for _ in range(3):
        board.opened(LIVE)
        board.alive()
        board.set(CameraStatus.OFFLINE, "gone")
    assert recorder.reports[-1].reconnects == 2


def test_a_camera_that_stays_away_is_one_line_whatever_the_reasons(
    board: StatusBoard, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for attempt in range(600):
        board.set(CameraStatus.OFFLINE, f"attempt {attempt}")
        clock.advance(1.0)
        board.tick()
    assert len(caplog.records) == 1


def test_a_camera_that_flaps_logs_a_line_a_minute_and_counts_the_rest(
    board: StatusBoard, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    board.opened(LIVE)
    for _ in range(300):
        board.alive()
        clock.advance(1.0)
        board.set(CameraStatus.OFFLINE, "gone")
        clock.advance(1.0)
    assert len(caplog.records) <= 3 + 10
    assert "were not logged" in caplog.text
    clock.advance(60.0)
    board.alive()
    assert caplog.records[-1].getMessage().startswith("camera cam is online")
