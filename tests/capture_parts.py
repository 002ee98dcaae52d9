"""Parts for tests of cameras: an observer that remembers, samples that can be waited for, a small scene."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgenode.capture.camera import Camera, CameraSpec
from edgenode.capture.regions import RegionCutter
from edgenode.capture.source import Grab, Source
from edgenode.clock import SystemClock
from edgenode.errors import SourceEndedError
from edgenode.records import U8, CameraReport, CameraStatus, Sample
from edgenode.settings import CameraSettings, RegionSettings
from tests.clips import numbered

DEADLINE_S = 60.0
"""How long anything may take on a loaded machine; only a failing test ever waits that long."""


def read_on(source: Source, limit: int = 10_000) -> list[Grab]:
    """Everything up to the end of a finite source, or the first `limit` grabs."""
    grabs: list[Grab] = []
    while len(grabs) < limit:
        try:
            grabs.append(source.read())
        except SourceEndedError:
            break
    return grabs


class Recorder:
    """A CaptureObserver, and the other side of hand-off A. Everything that happened, to be waited for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.counts: Counter[str] = Counter()
        self.reports: list[CameraReport] = []
        self.samples: list[Sample] = []
        self.gates: list[bool] = []
        self.stages: Counter[str] = Counter()

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._changed:
            yield
            self._changed.notify_all()

    def offer(self, sample: Sample) -> None:
        with self._change():
            self.samples.append(sample)

    def frame_decoded(self, camera: str) -> None:
        with self._change():
            self.counts["decoded"] += 1

    def packets(self, camera: str, count: int) -> None:
        self.counts["packets"] += count

    def stage_seconds(self, stage: str, seconds: float) -> None:
        assert seconds >= 0.0
        self.stages[stage] += 1

    def camera_report(self, report: CameraReport) -> None:
        with self._change():
            self.reports.append(report)

    def gate(self, camera: str, gate_name: str, is_open: bool, /) -> None:
        self.gates.append(is_open)

    def gate_skipped(self, camera: str, gate_name: str) -> None:
        with self._change():
            self.counts[gate_name] += 1

    def gate_audit(self, camera: str, caught: bool) -> None:
        self.counts["caught" if caught else "missed"] += 1

    def thread_abandoned(self, camera: str) -> None:
        with self._change():
            self.counts["abandoned"] += 1

    def corrupt_frame(self, camera: str) -> None:
        with self._change():
            self.counts["corrupt"] += 1

    def wait(self, condition: Callable[[], Any], timeout_s: float = DEADLINE_S) -> None:
        """Until `condition` holds; fails the test after `timeout_s`, saying what happened so far."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout_s):
                raise AssertionError(f"not within {timeout_s} s; {self.story()}")

    def wait_status(self, status: CameraStatus) -> CameraReport:
        """Until the last report has `status`."""
        self.wait(lambda: self.reports and self.reports[-1].status is status)
        return self.reports[-1]

    def wait_told(self, status: CameraStatus, reason: str = "", since: int = 0) -> CameraReport:
        """The first report of `status` for a `reason` from the report `since` on. For what may be over before anybody
        looks: a camera that is opened again at once is offline for a tenth of a second."""

        def told() -> CameraReport | None:
            fits = (each for each in self.reports[since:] if each.status is status and reason in each.reason)
            return next(fits, None)

        self.wait(told)
        report = told()
        assert report is not None
        return report

    def kept_pace(self, connections: int = 1) -> bool:
        """Whether no due frame came a second late, but the first of each connection, which never counts as new. On a
        machine that stalled, frames are passed over: which ones were taken then tells nothing."""
        return self.counts["late"] <= connections

    def wait_samples(self, count: int) -> None:
        """Until `count` more samples have come than there are now."""
        goal = len(self.samples) + count
        self.wait(lambda: len(self.samples) >= goal)

    def story(self) -> str:
        statuses = [f"{report.status}: {report.reason}" for report in self.reports[-5:]]
        return f"{len(self.samples)} samples, {dict(self.counts)}, last reports {statuses}"


@dataclass(frozen=True, slots=True)
class NumberedScene:
    """Its picture tells the time in tenths of a second."""

    name: str = "numbers"
    fps: float = 10.0

    def draw(self, t_s: float) -> U8:
        return numbered(round(t_s * 10.0) % 1024)


def scene_factory(name: str, seed: int) -> NumberedScene:
    if name != "numbers":
        raise KeyError(f"no scene {name!r}; there is 'numbers'")
    return NumberedScene()


def whole_frame(name: str = "frame") -> RegionCutter:
    return RegionCutter(name, "m", RegionSettings(name=name), lambda picture: picture)


def camera_spec(source: str, base_dir: Path, **settings: Any) -> CameraSpec:
    return CameraSpec(
        settings=CameraSettings(name="cam", source=source, **settings),
        cutters=(whole_frame(),),
        base_dir=base_dir,
        scenes=scene_factory,
    )


@contextmanager
def running(spec: CameraSpec, recorder: Recorder, **changes: Any) -> Iterator[Camera]:
    """A started camera; stopped, joined and checked at the end."""
    camera = Camera(replace(spec, **changes), recorder.offer, recorder, SystemClock())
    camera.start()
    try:
        yield camera
    finally:
        camera.stop()
        assert camera.join(DEADLINE_S)
