"""Five hundred connections to cameras, one after the other: nothing stays behind."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import psutil
import pytest

from edgenode.records import Sample
from tests.capture_parts import Recorder, camera_spec, running
from tests.clips import jpeg, numbered, numbered_clip
from tests.fixtures_servers import StartHttp
from tests.servers.http_camera import Behaviour
from tests.servers.scripted_rtsp import Script, ScriptedRtsp, access_units

MOST_MB = 10.0


class Forgetful(Recorder):
    """Counts samples and keeps none: ten thousand pictures would hide what a camera keeps."""

    def offer(self, sample: Sample) -> None:
        self.counts["samples"] += 1


def sizes() -> tuple[float, int, int]:
    gc.collect()
    process = psutil.Process()
    return process.memory_info().rss / 2**20, process.num_threads(), process.num_fds()


def both(rtsp: Recorder, mjpeg: Recorder, count: int) -> None:
    """Until each has been opened again `count` times."""
    rtsp.wait(lambda: rtsp.reports and rtsp.reports[-1].reconnects >= count, 1400.0)
    mjpeg.wait(lambda: mjpeg.reports and mjpeg.reports[-1].reconnects >= count, 1400.0)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_five_hundred_reconnects_leave_nothing_behind(
    nothing_left_behind: None, tmp_path: Path, http_camera: StartHttp
) -> None:
    """An RTSP and an MJPEG camera that send three frames and break off; the first fifty warm up."""
    units = access_units(numbered_clip(tmp_path / "c.mp4", 50, gop=1))
    pictures = [jpeg(numbered(number)) for number in range(10)]
    web = http_camera(Behaviour(pictures, fps=100.0, frames=3))
    stop = threading.Event()
    with ScriptedRtsp(Script(units, 100.0)) as server:
        rtsp, mjpeg = Forgetful(), Forgetful()

        def break_off() -> None:
            while not stop.wait(0.3):
                server.drop_connections()

        breaker = threading.Thread(target=break_off, name="breaker")
        breaker.start()
        try:
            with (
                running(camera_spec(server.url, tmp_path, fps=0), rtsp),
                running(camera_spec(web.url("stream"), tmp_path, fps=0), mjpeg),
            ):
                both(rtsp, mjpeg, 50)
                before = sizes()
                for recorder in (rtsp, mjpeg):
                    recorder.reports[:] = recorder.reports[-1:]
                both(rtsp, mjpeg, 500)
                for recorder in (rtsp, mjpeg):
                    recorder.reports[:] = recorder.reports[-1:]
                after = sizes()
        finally:
            stop.set()
            breaker.join()
    print(f"450 reconnects of two cameras: {after[0] - before[0]:+.1f} MB; {before} to {after}")
    assert after[0] - before[0] <= MOST_MB
    assert abs(after[1] - before[1]) <= 2  # the servers' threads of the moment live here, too
    assert abs(after[2] - before[2]) <= 4
