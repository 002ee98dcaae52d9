"""A reader that is slower than its camera: what piles up on the way must not be taken for the present."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgenode.capture.regions import RegionCutter
from edgenode.clock import SystemClock
from edgenode.inference.sample_buffer import BufferLimits, SampleBuffer
from edgenode.records import U8, DropReason, Sample
from edgenode.settings import RegionSettings
from tests.capture_parts import Recorder, camera_spec, running
from tests.clips import jpeg, number_of, numbered, numbered_clip
from tests.fixtures_servers import StartHttp
from tests.servers.http_camera import Behaviour
from tests.servers.scripted_rtsp import Script, ScriptedRtsp, access_units

FPS = 25.0
OLD_S = 3.5
WORK_S = 0.2
"""A frame that is used costs five frames' time."""


class Ages(Recorder):
    """How long before it was offered each frame had left the camera."""

    def __init__(self, made_at_s: Mapping[int, float]) -> None:
        super().__init__()
        self._made_at_s = made_at_s
        self.ages_s: list[float] = []

    def offer(self, sample: Sample) -> None:
        self.ages_s.append(time.monotonic() - self._made_at_s[number_of(sample.array)])
        super().offer(sample)


def slow_cutter() -> RegionCutter:
    pause = threading.Event()

    def work(picture: U8) -> U8:
        pause.wait(WORK_S)
        return picture

    return RegionCutter("r", "m", RegionSettings(name="r"), work)


def check(recorder: Ages) -> None:
    """Old frames were passed over, and it went on after it."""
    recorder.wait(lambda: recorder.counts["late"] >= 10)
    recorder.wait_samples(2)
    assert max(recorder.ages_s) <= OLD_S


def test_old_frames_of_an_rtsp_camera_are_passed_over(nothing_left_behind: None, tmp_path: Path) -> None:
    units = access_units(numbered_clip(tmp_path / "c.mp4", 500, gop=25))
    with ScriptedRtsp(Script(units, FPS)) as server:
        recorder = Ages(server.made_at_s)
        with running(camera_spec(server.url, tmp_path, fps=0), recorder, cutters=(slow_cutter(),)):
            check(recorder)


def test_old_pictures_of_an_mjpeg_camera_are_passed_over(
    nothing_left_behind: None, tmp_path: Path, http_camera: StartHttp
) -> None:
    behaviour = Behaviour([jpeg(numbered(number)) for number in range(250)], fps=FPS)
    server = http_camera(behaviour)
    recorder = Ages(behaviour.sent_at_s)
    with running(camera_spec(server.url("stream"), tmp_path, fps=0), recorder, cutters=(slow_cutter(),)):
        check(recorder)


def test_a_slow_rtsp_camera_opens_with_its_first_picture(tmp_path: Path, nothing_left_behind: None) -> None:
    """FFmpeg's probing would wait for eight of them, longer than the open timeout, and hand them all out at once."""
    units = access_units(numbered_clip(tmp_path / "c.mp4", 50, gop=10))
    with ScriptedRtsp(Script(units, 1.2)) as server:
        recorder = Ages(server.made_at_s)
        with running(camera_spec(server.url, tmp_path, fps=0), recorder):
            recorder.wait(lambda: len(recorder.samples) >= 2)
    assert {sample.frame_index for sample in recorder.samples[:2]} == {1, 2}
    assert max(recorder.ages_s) <= OLD_S
    for sample, age_s in zip(recorder.samples, recorder.ages_s, strict=True):
        stamped_s = time.monotonic() - sample.captured_s
        assert stamped_s >= age_s - 0.5, "stamped later than it was made"


def test_a_model_that_is_slower_than_the_camera_gets_the_newest_frame_each_time(
    nothing_left_behind: None, tmp_path: Path
) -> None:
    """5 of 25 frames a second: the rest is superseded, and counted."""
    units = access_units(numbered_clip(tmp_path / "c.mp4", 500, gop=25))
    clock = SystemClock()
    buffer = SampleBuffer("m", BufferLimits(max_age_s=60.0), clock)
    with ScriptedRtsp(Script(units, FPS)) as server:
        recorder = Recorder()
        cutter = RegionCutter("r", "m", RegionSettings(name="r"), np.ascontiguousarray)
        ages_s = []
        with running(camera_spec(server.url, tmp_path, fps=0), recorder, cutters=(cutter,)) as camera:
            del camera
            recorder.wait(lambda: recorder.samples)
            pause = threading.Event()
            taken = 0
            while len(ages_s) < 6:
                for sample in recorder.samples[taken:]:
                    buffer.offer(sample)
                taken = len(recorder.samples)
                batch = buffer.take(8, 0.0, 0.0)
                if batch is not None:
                    newest = batch.samples[0]
                    ages_s.append(time.monotonic() - server.made_at_s[number_of(newest.array)])
                pause.wait(WORK_S)
    counts = buffer.counts()
    assert counts.dropped[DropReason.SUPERSEDED] >= 6
    assert counts.offered == counts.taken + sum(counts.dropped.values()) + counts.held
    assert max(ages_s) <= OLD_S
