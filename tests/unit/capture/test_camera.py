"""The camera thread over files, folders, scenes and HTTP cameras."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgenode.capture.camera import Camera
from edgenode.capture.picture_watch import WatchLimits
from edgenode.capture.regions import RegionCutter
from edgenode.clock import SystemClock
from edgenode.records import CameraStatus, Sample
from edgenode.settings import RegionSettings
from tests.capture_parts import DEADLINE_S, Recorder, camera_spec, running
from tests.clips import jpeg, number_of, numbered, numbered_clip, write_clip
from tests.fixtures_servers import StartHttp
from tests.servers.http_camera import Behaviour


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def numbers(samples: list[Sample]) -> list[int]:
    return [number_of(sample.array) for sample in samples]


def test_of_a_25_fps_clip_every_fifth_frame_is_classified_and_the_end_is_told(
    tmp_path: Path, recorder: Recorder
) -> None:
    numbered_clip(tmp_path / "c.mp4", 100)
    spec = camera_spec("c.mp4", tmp_path, fps=5)
    with running(spec, recorder, realtime=False):
        report = recorder.wait_status(CameraStatus.ENDED)
    assert numbers(recorder.samples) == list(range(0, 100, 5))
    assert [sample.frame_index for sample in recorder.samples] == list(range(0, 100, 5))
    assert recorder.counts["decoded"] == 100
    assert recorder.stages["decode"] == recorder.stages["prepare"] == 20
    assert report.reason.endswith("ended after 100 frames")


def test_in_real_time_the_instants_of_a_clip_are_its_media_times(tmp_path: Path, recorder: Recorder) -> None:
    numbered_clip(tmp_path / "c.mp4", 15)
    with running(camera_spec("c.mp4", tmp_path, fps=0), recorder):
        recorder.wait_status(CameraStatus.ENDED)
    times = [sample.captured_s for sample in recorder.samples]
    steps = np.diff(times)
    assert len(times) == 15
    assert times[-1] - times[0] >= 14 * 0.04 - 1e-6
    assert np.median(steps) == pytest.approx(0.04, abs=1e-6)
    assert SystemClock().monotonic() >= times[-1]


def test_a_folder_is_classified_once_whatever_the_schedule(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / "in").mkdir()
    for number in range(7):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(jpeg(numbered(number)))
    spec = camera_spec("in", tmp_path, fps=5)
    with running(spec, recorder, realtime=False):
        recorder.wait(lambda: len(recorder.samples) == 7)
        staged = tmp_path / "new.tmp"
        staged.write_bytes(jpeg(numbered(9)))
        staged.rename(tmp_path / "in" / "9.jpg")
        recorder.wait(lambda: len(recorder.samples) == 8)
        assert recorder.reports[-1].status is CameraStatus.ONLINE
    assert numbers(recorder.samples) == [0, 1, 2, 3, 4, 5, 6, 9]


def test_a_scene_s_samples_carry_the_scene_s_own_time(tmp_path: Path, recorder: Recorder) -> None:
    with running(camera_spec("synthetic:numbers?fps=20", tmp_path, fps=0), recorder):
        recorder.wait_samples(10)
    for sample in recorder.samples:
        assert number_of(sample.array) == round(sample.captured_s * 10.0) % 1024


def test_masks_are_black_before_gate_regions_snapshots_and_the_ring_see_the_frame(
    tmp_path: Path, recorder: Recorder
) -> None:
    """All motion of the clip lies under the mask: the gate must close, and nothing of it may come out."""
    base = numbered(0)
    pictures = []
    for number in range(250):
        picture = base.copy()
        x = number * 5 % 120
        picture[20:80, x : x + 40] = (255, 0, 255)
        pictures.append(picture)
    write_clip(tmp_path / "c.mp4", pictures)
    mask = [(0.0, 0.0), (0.55, 0.0), (0.55, 0.5), (0.0, 0.5)]
    spec = camera_spec("c.mp4", tmp_path, fps=25, gate="motion", masks=[mask])
    with running(spec, recorder, keep_frames=3) as camera:
        frame = camera.request_frame(DEADLINE_S)
        recorder.wait(lambda: recorder.gates[-1:] == [False])
        kept = camera.recent_frame(recorder.samples[-1].frame_index)
        recorder.wait(lambda: recorder.counts["motion"] > 5)
    assert frame is not None
    assert kept is not None
    assert not frame.array[:90, :170].any()
    assert not kept.array[:90, :170].any()
    for sample in recorder.samples:
        assert not sample.array[:90, :170].any()
        assert sample.array[100:].any()


def test_regions_are_cut_prepared_and_owned_by_their_samples(tmp_path: Path, recorder: Recorder) -> None:
    numbered_clip(tmp_path / "c.mp4", 5)
    shape = RegionSettings(name="right", box=(0.5, 0.0, 1.0, 1.0))
    cutters = (
        RegionCutter("right", "m1", shape, lambda cut: cut),
        RegionCutter(
            "small", "m2", RegionSettings(name="small"), lambda cut: np.ascontiguousarray(cut[::4, ::4])
        ),
    )
    spec = camera_spec("c.mp4", tmp_path, fps=0)
    with running(spec, recorder, cutters=cutters, realtime=False):
        recorder.wait_status(CameraStatus.ENDED)
    assert [(sample.region, sample.model, sample.array.shape) for sample in recorder.samples[:2]] == [
        ("right", "m1", (180, 160, 3)),
        ("small", "m2", (45, 80, 3)),
    ]
    assert all(
        sample.array.base is None or sample.array.base.nbytes < 180 * 320 * 3 for sample in recorder.samples
    )


def test_a_size_that_changes_in_the_middle_is_followed_and_reported(
    tmp_path: Path, recorder: Recorder
) -> None:
    (tmp_path / "in").mkdir()
    for index, size in enumerate([(320, 180), (200, 100), (320, 180)]):
        (tmp_path / "in" / f"{index}.jpg").write_bytes(jpeg(numbered(index, *size)))
    mask = [(0.0, 0.0), (0.1, 0.0), (0.1, 1.0), (0.0, 1.0)]
    spec = camera_spec("in", tmp_path, fps=0, masks=[mask])
    with running(spec, recorder, realtime=False):
        recorder.wait(lambda: len(recorder.samples) == 3)
        recorder.wait(lambda: recorder.reports[-1].width == 320)
    assert [sample.array.shape for sample in recorder.samples] == [
        (180, 320, 3),
        (100, 200, 3),
        (180, 320, 3),
    ]


def test_it_is_switched_off_and_on_while_it_runs(tmp_path: Path, recorder: Recorder) -> None:
    spec = camera_spec("synthetic:numbers", tmp_path, enabled=False)
    with running(spec, recorder) as camera:
        recorder.wait_status(CameraStatus.DISABLED)
        assert not recorder.samples
        camera.set_enabled(True)
        recorder.wait_samples(2)
        camera.set_enabled(False)
        recorder.wait_status(CameraStatus.DISABLED)
        seen = len(recorder.samples)
        camera.set_enabled(True)
        recorder.wait_status(CameraStatus.ONLINE)
        recorder.wait(lambda: len(recorder.samples) > seen)


def test_a_source_that_comes_later_is_found(tmp_path: Path, recorder: Recorder) -> None:
    with running(camera_spec("late.mp4", tmp_path, fps=0), recorder):
        report = recorder.wait_status(CameraStatus.FAILED)
        assert "does not exist" in report.reason
        numbered_clip(tmp_path / "late.tmp.mp4", 5).rename(tmp_path / "late.mp4")
        recorder.wait_samples(5)


def test_a_stop_interrupts_pauses_and_pacing_at_once(tmp_path: Path, recorder: Recorder) -> None:
    numbered_clip(tmp_path / "slow.mp4", 3, fps=1)
    for source in ("missing.mp4", "slow.mp4", "synthetic:numbers?fps=0.1"):
        other = Recorder()
        with running(camera_spec(source, tmp_path, fps=0, read_timeout=60), other) as camera:
            other.wait(lambda other=other: other.reports)
            camera.stop()
            assert camera.join(DEADLINE_S)
            assert camera.request_frame(10.0) is None


def test_a_camera_that_was_never_started_can_be_stopped(tmp_path: Path, recorder: Recorder) -> None:
    camera = Camera(camera_spec("x.mp4", tmp_path), recorder.offer, recorder, SystemClock())
    camera.stop()
    assert camera.join(1.0)


def test_no_thread_is_left(tmp_path: Path, recorder: Recorder) -> None:
    before = set(threading.enumerate())
    with running(camera_spec("synthetic:numbers", tmp_path), recorder):
        recorder.wait_samples(1)
    assert set(threading.enumerate()) <= before


def test_a_fault_inside_is_told_logged_and_does_not_end_the_thread(
    tmp_path: Path, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(picture: object) -> object:
        raise ZeroDivisionError("at rtsp://u:s3cret@cam/x")

    cutter = RegionCutter("r", "m", RegionSettings(name="r"), broken)  # type: ignore[arg-type]
    with running(camera_spec("synthetic:numbers", tmp_path), recorder, cutters=(cutter,)) as camera:
        report = recorder.wait_status(CameraStatus.FAILED)
        assert "s3cret" not in report.reason
        assert not camera.join(0.0)
    assert "a fault inside" in caplog.text
    assert "Traceback" in caplog.text
    assert "s3cret" not in caplog.text


def test_an_http_camera_that_drops_its_clients_is_opened_again(
    http_camera: StartHttp, tmp_path: Path, recorder: Recorder
) -> None:
    server = http_camera(Behaviour([jpeg(numbered(number)) for number in range(50)]))
    with running(camera_spec(server.url("stream"), tmp_path, fps=0), recorder):
        recorder.wait_samples(3)
        told = len(recorder.reports)
        server.drop_connections()
        recorder.wait_told(CameraStatus.OFFLINE, since=told)
        recorder.wait_samples(3)
        assert recorder.wait_status(CameraStatus.ONLINE).reconnects >= 1


def test_damaged_pictures_are_counted_and_not_classified(
    http_camera: StartHttp, tmp_path: Path, recorder: Recorder
) -> None:
    good, bad = jpeg(numbered(1)), jpeg(numbered(2))[:-60]
    server = http_camera(Behaviour([good, bad]))
    with running(camera_spec(server.url("stream"), tmp_path, fps=0), recorder):
        recorder.wait(lambda: recorder.counts["corrupt"] >= 5 and len(recorder.samples) >= 5)
    assert set(numbers(recorder.samples)) == {1}


def test_a_frozen_camera_and_a_black_one_are_told(
    http_camera: StartHttp, tmp_path: Path, recorder: Recorder
) -> None:
    limits = WatchLimits(frozen_after_s=0.6, blind_after_s=0.6)
    behaviour = Behaviour([jpeg(numbered(1))])
    server = http_camera(behaviour)
    with running(camera_spec(server.url("stream"), tmp_path, fps=10), recorder, limits=limits):
        recorder.wait_status(CameraStatus.FROZEN)
        behaviour.pictures[:] = [jpeg(numbered(number)) for number in range(100)]
        recorder.wait_status(CameraStatus.ONLINE)
        noise = np.random.default_rng(1).integers(0, 6, (50, 180, 320, 3), dtype=np.uint8)
        behaviour.pictures[:] = [jpeg(picture) for picture in noise]
        report = recorder.wait_status(CameraStatus.BLIND)
        assert "black" in report.reason


def test_a_refusal_is_asked_again_at_the_slow_pace_and_logged_once(
    http_camera: StartHttp, tmp_path: Path, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    behaviour = Behaviour([jpeg(numbered(1))], auth="basic")
    server = http_camera(behaviour)
    source = server.url("still", "viewer:wr0ng-secret")
    with running(camera_spec(source, tmp_path), recorder):
        report = recorder.wait_status(CameraStatus.OFFLINE)
        assert "401" in report.reason
        recorder.wait(lambda: len(recorder.reports) >= 3)  # the quick pace would have asked again
    assert len(behaviour.requests) <= 2
    assert len(caplog.records) == 1
    assert "wr0ng-secret" not in caplog.text + recorder.story()


def test_settings_of_one_camera_do_not_leak_into_another(tmp_path: Path) -> None:
    spec = camera_spec("synthetic:numbers", tmp_path, fps=10)
    first, second = Recorder(), Recorder()
    other = replace(spec, settings=spec.settings.model_copy(update={"name": "other"}))
    with running(spec, first), running(other, second):
        first.wait_samples(2)
        second.wait_samples(2)
    assert {sample.camera for sample in first.samples} == {"cam"}
    assert {sample.camera for sample in second.samples} == {"other"}
