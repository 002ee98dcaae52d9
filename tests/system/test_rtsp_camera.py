"""Cameras over real RTSP, and what happens to them in a plant."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenode.capture.opening import open_source
from edgenode.capture.picture_watch import WatchLimits
from edgenode.capture.source import SourceOptions
from edgenode.clock import SystemClock
from edgenode.errors import SourceError, SourceRefusedError
from edgenode.records import CameraStatus, Sample
from tests.capture_parts import DEADLINE_S, Recorder, camera_spec, running
from tests.clips import number_of, numbered, numbered_clip, write_clip
from tests.fixtures_servers import StartRtsp
from tests.servers.black_hole import BlackHole

FPS = 25


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 1000, FPS, gop=10)


def numbers(samples: list[Sample]) -> list[int]:
    return [number_of(sample.array) for sample in samples]


def test_every_fifth_frame_is_classified_but_the_first_of_a_connection(
    rtsp_camera: StartRtsp, clip: Path, tmp_path: Path, recorder: Recorder
) -> None:
    server = rtsp_camera(clip)
    with running(camera_spec(server.url, tmp_path, fps=5), recorder):
        recorder.wait_samples(6)
        report = recorder.wait_status(CameraStatus.ONLINE)
    assert numbers(recorder.samples)[0] != 0
    if recorder.kept_pace():
        assert numbers(recorder.samples)[:6] == list(range(5, 35, 5))
    assert (report.width, report.height, report.codec) == (320, 180, "h264")


def test_a_clip_played_once_ends_the_stream_and_the_camera_comes_back(
    rtsp_camera: StartRtsp, tmp_path: Path, recorder: Recorder
) -> None:
    server = rtsp_camera(numbered_clip(tmp_path / "short.mp4", 20))
    with running(camera_spec(server.url, tmp_path, fps=0), recorder):
        recorder.wait_told(CameraStatus.OFFLINE, "ended")
        recorder.wait(lambda: len(recorder.samples) >= 38)
        recorder.wait(lambda: recorder.reports[-1].reconnects >= 1)
    if recorder.kept_pace(recorder.reports[-1].reconnects + 1):
        assert numbers(recorder.samples)[:19] == list(range(1, 20))


def test_a_camera_killed_and_back_is_classified_again(
    rtsp_camera: StartRtsp, clip: Path, tmp_path: Path, recorder: Recorder
) -> None:
    server = rtsp_camera(clip, "--loop")
    with running(camera_spec(server.url, tmp_path, fps=5), recorder):
        recorder.wait_samples(3)
        server.kill()
        report = recorder.wait_status(CameraStatus.OFFLINE)
        assert report.reason
        seen = len(recorder.samples)
        server.start()
        recorder.wait_samples(3)
        assert recorder.wait_status(CameraStatus.ONLINE).reconnects >= 1
    if recorder.kept_pace(2):
        assert numbers(recorder.samples[seen:])[0] == 5


def test_a_camera_that_freezes_is_stale_and_no_old_frame_is_classified_after_it(
    rtsp_camera: StartRtsp, clip: Path, tmp_path: Path, recorder: Recorder
) -> None:
    """The server stands still for some seconds and then sends what has waited in it, in one burst."""
    server = rtsp_camera(clip, "--loop")
    spec = camera_spec(server.url, tmp_path, fps=0, read_timeout=60)
    with running(spec, recorder, limits=WatchLimits(stale_after_s=2.0)):
        recorder.wait_samples(10)
        server.freeze()
        recorder.wait_status(CameraStatus.STALE)
        before = len(recorder.samples)
        server.thaw()
        recorder.wait_samples(10)
        recorder.wait_status(CameraStatus.ONLINE)
    lags_s = [sample.captured_s - number_of(sample.array) / FPS for sample in recorder.samples]
    assert max(lags_s[before:]) - min(lags_s[:before]) <= 1.5
    assert recorder.counts["late"] > 0
    assert recorder.reports[-1].reconnects == 0


def test_a_camera_that_stays_frozen_is_opened_anew(
    rtsp_camera: StartRtsp, clip: Path, tmp_path: Path, recorder: Recorder
) -> None:
    server = rtsp_camera(clip, "--loop")
    with running(camera_spec(server.url, tmp_path, fps=5, read_timeout=1, open_timeout=1), recorder):
        recorder.wait_samples(3)
        told = len(recorder.reports)
        server.freeze()
        # "no data for 1 s", or where the connection had just ended, "did not answer within 1 s"
        recorder.wait_told(CameraStatus.OFFLINE, " 1 s", told)
        seen = len(recorder.samples)
        server.thaw()
        recorder.wait(lambda: len(recorder.samples) > seen)


def test_a_wrong_path_and_wrong_credentials_are_refusals(
    rtsp_camera: StartRtsp, clip: Path, tmp_path: Path
) -> None:
    server = rtsp_camera(clip, "--user", "viewer", "--password", "s3cret")
    url = server.url.replace("rtsp://", "rtsp://viewer:s3cret@")
    source = open_source(url, SourceOptions(), SystemClock())
    assert number_of(source.read().rgb()) == 0
    source.close()
    for wrong, words in [(url.replace("s3cret", "wr0ng"), "401"), (url.replace("/cam", "/nothing"), "404")]:
        with pytest.raises(SourceRefusedError, match=words) as caught:
            open_source(wrong, SourceOptions(), SystemClock())
        assert "s3cret" not in str(caught.value)
        assert "wr0ng" not in str(caught.value)


def test_key_frames_alone_are_classified_when_asked(
    rtsp_camera: StartRtsp, clip: Path, tmp_path: Path, recorder: Recorder
) -> None:
    server = rtsp_camera(clip, "--loop")
    with running(camera_spec(server.url, tmp_path, fps=0, decode="keyframes"), recorder):
        recorder.wait_samples(3)
    taken = numbers(recorder.samples)[:3]
    assert [number % 10 for number in taken] == [0, 0, 0]
    if recorder.kept_pace():
        assert taken == [10, 20, 30]


def test_key_frames_alone_are_decoded_once_they_are_seen_to_be_enough(
    rtsp_camera: StartRtsp, clip: Path, tmp_path: Path, recorder: Recorder
) -> None:
    """One every 0.4 s is enough for two frames a second: from the fourth on nothing else is decoded."""
    server = rtsp_camera(clip, "--loop")
    with running(camera_spec(server.url, tmp_path, fps=2, decode="auto"), recorder):
        recorder.wait_samples(6)
    first, *_, before, last = recorder.samples
    assert last.frame_index - before.frame_index <= 2
    assert (number_of(last.array) - number_of(before.array)) % 10 == 0
    if recorder.kept_pace():
        assert number_of(first.array) == 12
    assert recorder.counts["packets"] > 1.5 * recorder.counts["decoded"]


def test_reordered_frames_come_out_in_order_and_none_is_lost(rtsp_camera: StartRtsp, tmp_path: Path) -> None:
    pictures = (numbered(number) for number in range(100))
    server = rtsp_camera(write_clip(tmp_path / "b.mp4", pictures, FPS, 50, bf="2", preset="medium"))
    source = open_source(server.url, SourceOptions(), SystemClock())
    assert [number_of(source.read().rgb()) for _ in range(20)] == list(range(20))
    source.close()


def test_a_black_hole_is_offline_and_a_stop_does_not_wait_for_it(
    black_hole: BlackHole, tmp_path: Path, recorder: Recorder
) -> None:
    source = f"rtsp://u:s3cret@127.0.0.1:{black_hole.port}/cam"
    spec = camera_spec(source, tmp_path, open_timeout=0.5)
    with running(spec, recorder):
        recorder.wait(lambda: recorder.reports and "did not answer" in recorder.reports[-1].reason)
        assert recorder.reports[-1].status is CameraStatus.OFFLINE
    assert "s3cret" not in recorder.story()


def test_a_stop_while_a_read_hangs_ends_within_the_read_timeout(
    rtsp_camera: StartRtsp, clip: Path, tmp_path: Path, recorder: Recorder
) -> None:
    server = rtsp_camera(clip, "--loop")
    with running(camera_spec(server.url, tmp_path, fps=0, read_timeout=1), recorder) as camera:
        recorder.wait_samples(3)
        server.freeze()
        camera.stop()
        assert camera.join(DEADLINE_S)
    server.thaw()


def test_a_port_that_refuses_is_a_source_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="connection refused"):
        open_source("rtsp://127.0.0.1:1/cam", SourceOptions(), SystemClock())
