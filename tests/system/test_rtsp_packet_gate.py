"""The packet gate on live RTSP: closed while nothing moves, and nothing of a beginning is lost when it opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgenode.records import U8, Sample
from tests.capture_parts import Recorder, camera_spec, running
from tests.clips import write_clip
from tests.fixtures_servers import StartRtsp

FPS = 10
LENGTH_S, MOVES_AT_S = 18.0, 13.3
SPEED = 100.0
"""Columns a second of the box, from column 0 on."""
DUE_FPS = 5
DUE_COLUMNS = SPEED / DUE_FPS + SPEED / FPS + 4.0
"""The box between two due frames: where frames arrive with jitter, the next one of the camera may be taken in
place of the due one. A due frame that is lost shows as two periods, which is more."""


def pictures() -> list[U8]:
    """A still textured room with a little noise; from MOVES_AT_S on a bright box runs through it. The texture makes
    key frames as large, beside the others, as a camera's are."""
    rng = np.random.default_rng(7)
    room = rng.integers(60, 180, (9, 16, 3), dtype=np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    room = room + rng.normal(0.0, 8.0, room.shape)
    box = rng.integers(200, 256, (80, 60, 3), dtype=np.uint8)
    drawn = []
    for index in range(round(LENGTH_S * FPS)):
        picture = np.clip(room + rng.normal(0.0, 1.0, room.shape), 0, 255).astype(np.uint8)
        since_s = index / FPS - MOVES_AT_S
        if 0.0 <= since_s <= 2.5:
            left = round(since_s * SPEED)
            picture[50:130, left : left + 60] = box
        drawn.append(picture)
    return drawn


def box_left(sample: Sample) -> float | None:
    """The box's first column; None where there is no box."""
    bright = sample.array[60:120].mean(axis=(0, 2)) > 205
    return float(np.argmax(bright)) if bright.sum() > 30 else None


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


CODINGS = {
    "low delay": {"preset": "veryfast", "tune": "zerolatency", "crf": "24"},
    "b frames": {"preset": "veryfast", "crf": "24", "bf": "3"},
    "b frames, open groups": {"preset": "veryfast", "crf": "24", "bf": "3", "x264-params": "open-gop=1"},
    "bounded rate": {"preset": "veryfast", "crf": "24", "maxrate": "2M", "bufsize": "1M"},
    "h265": {"codec": "libx265", "tune": "zerolatency", "crf": "26", "x265-params": "log-level=none"},
    "h265, b frames, open groups": {
        "codec": "libx265",
        "preset": "veryfast",
        "crf": "26",
        "bf": "3",
        "x265-params": "log-level=none:bframes=3:open-gop=1",
    },
}


@pytest.mark.parametrize(
    "coding",
    [pytest.param(name, marks=pytest.mark.slow) if index else name for index, name in enumerate(CODINGS)],
)
def test_nothing_of_a_beginning_is_lost_and_recalled_frames_carry_the_time_they_came(
    coding: str, rtsp_camera: StartRtsp, tmp_path: Path, recorder: Recorder
) -> None:
    clip = write_clip(tmp_path / "room.mp4", pictures(), FPS, 20, **CODINGS[coding])
    server = rtsp_camera(clip, *(["--h265"] if coding.startswith("h265") else []))
    with running(camera_spec(server.url, tmp_path, gate="packet", fps=DUE_FPS, gate_audit=0), recorder):
        recorder.wait(lambda: len([s for s in recorder.samples if box_left(s) is not None]) >= 10)
    assert recorder.gates[:3] == [True, False, True]
    assert recorder.counts["packet"] > 0  # due frames that were never decoded
    assert recorder.counts["caught"] == 1
    assert recorder.counts["missed"] == 0
    seen = [(left, sample) for sample in recorder.samples if (left := box_left(sample)) is not None]
    lefts = [left for left, _ in seen]
    assert lefts == sorted(lefts)
    assert lefts[0] <= DUE_COLUMNS  # the first due frame with the box, not a later one
    if recorder.kept_pace():  # and every due one after it
        assert np.diff(lefts).max() <= DUE_COLUMNS
    # what was recalled came earlier, frame by frame, than the moment at which the gate opened
    times = [sample.captured_s for sample in recorder.samples]
    assert times == sorted(times)
    moved_s = (lefts[-1] - lefts[0]) / SPEED
    assert abs((seen[-1][1].captured_s - seen[0][1].captured_s) - moved_s) < 1.0
    recalled = [sample for sample in recorder.samples if sample.captured_s < seen[0][1].captured_s]
    still_before = [sample for sample in recalled if seen[0][1].captured_s - sample.captured_s < 2.0]
    assert still_before  # the group was decoded from its key frame, before the motion
