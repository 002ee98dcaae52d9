"""The collector's thread: what it keeps, what it drops, and that inference never waits for it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgenode.capture.frame_desk import FrameDesk
from edgenode.capture.frame_path import FramePath, HandOff, Stamp
from edgenode.capture.regions import RegionCutter
from edgenode.capture.source import Grab
from edgenode.collect.choose import ModelFacts
from edgenode.collect.collector import QUEUED, Collector, CollectorParts, CollectPlan
from edgenode.collect.store import FOLDER
from edgenode.records import U8, Frame, Sample
from edgenode.settings import CameraSettings, RegionSettings
from edgenode.settings.collect import CollectSettings
from tests.unit.collect.parts import ZERO, answer, batch_of, textured

PATIENCE_S = 60.0


class Observer:
    def __init__(self) -> None:
        self.kept: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.sizes: list[tuple[int, int]] = []

    def picture_kept(self, rule: str, why: str) -> None:
        self.kept[why] += 1

    def picture_not_kept(self, rule: str, reason: str) -> None:
        self.dropped[reason] += 1

    def collection(self, pictures: int, size_bytes: int) -> None:
        self.sizes.append((pictures, size_bytes))


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.observer = Observer()
        self.frames: dict[int, Frame] = {}
        self.collector = Collector(
            CollectorParts(folder, lambda _, index: self.frames.get(index), self.observer)
        )

    def plan(self, region: RegionSettings | None = None, multi: bool = False, **settings: object) -> None:
        rules = settings.pop("rules", [{"name": "hard", "pause": 0}])
        self.collector.apply(
            CollectPlan(
                CollectSettings.model_validate({"rules": rules, **settings}),
                ModelFacts(frozenset({"defects"}) if multi else frozenset()),
                {("line_1", "belt"): region or RegionSettings(name="belt")},
            )
        )

    def offer(self, number: int, *probabilities: float, array: U8 | None = None) -> None:
        prediction = answer(*(probabilities or (0.55, 0.45)), at_s=float(number))
        picture = textured(number) if array is None else array
        self.collector.offer(batch_of(prediction, picture), [prediction])

    def close(self) -> None:
        self.collector.close(PATIENCE_S)

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(file.read_text()) for file in sorted((self.folder / FOLDER).rglob("*.json"))]

    def pictures(self) -> list[U8]:
        files = sorted((self.folder / FOLDER).rglob("*.png"))
        return [cv2.imread(str(file), cv2.IMREAD_COLOR_RGB) for file in files]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_the_model_s_own_pixels_are_kept_to_the_last_bit(rig: Rig) -> None:
    rig.plan()
    rig.offer(1)
    rig.offer(2, 0.99, 0.01)
    rig.close()
    (picture,) = rig.pictures()
    assert np.array_equal(picture, textured(1))
    (line,) = rig.lines()
    assert (line["camera"], line["region"], line["why"], line["pixels"]) == (
        "line_1",
        "belt",
        "low_margin",
        "model",
    )
    assert line["probabilities"] == pytest.approx({"ok": 0.55, "defect": 0.45}, abs=1e-6)
    assert line["model"] == {"name": "defects", "version": "1.0.0", "sha256": "ab" * 32}
    assert line["captured_at"] == "2026-03-01T08:00:01+00:00"


def test_a_grey_model_s_pixels_are_kept_grey(rig: Rig) -> None:
    rig.plan()
    rig.offer(1, array=np.ascontiguousarray(textured(1)[..., :1]))
    rig.close()
    (file,) = (rig.folder / FOLDER).rglob("*.png")
    assert np.array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), textured(1)[..., 0])


def test_the_region_is_cut_at_full_resolution_while_its_frame_is_there(rig: Rig) -> None:
    frame = np.kron(textured(7, 48), np.ones((4, 4, 1), np.uint8))
    rig.frames[1000] = Frame("line_1", 1000, 1.0, ZERO, frame)
    rig.plan(RegionSettings(name="belt", box=(0.25, 0.0, 0.75, 0.5)))
    rig.offer(1)
    rig.offer(2)
    rig.close()
    assert [line["pixels"] for line in rig.lines()] == ["region", "model"]
    assert np.array_equal(rig.pictures()[0], frame[0:96, 48:144])


def test_what_a_mask_hides_is_in_no_kept_picture(rig: Rig) -> None:
    """Through the camera's own way of a frame: whatever is cut is cut after the masks."""

    class Quiet:
        def frame_decoded(self, camera: str) -> None: ...
        def packets(self, camera: str, count: int) -> None: ...
        def stage_seconds(self, stage: str, seconds: float) -> None: ...
        def gate(self, camera: str, gate_name: str, is_open: bool, /) -> None: ...
        def gate_audit(self, camera: str, caught: bool) -> None: ...
        def gate_skipped(self, camera: str, gate_name: str) -> None: ...
        def corrupt_frame(self, camera: str) -> None: ...
        def camera_report(self, report: object) -> None: ...

    def still() -> Grab:
        return Grab(None, True, False, 0, lambda: np.full((80, 80, 3), 255, np.uint8))

    masked = CameraSettings(
        name="line_1", source="synthetic:line", masks=[[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]]
    )
    samples: list[Sample] = []
    desk = FrameDesk(keep=4)
    cutter = RegionCutter("belt", "defects", RegionSettings(name="belt"), lambda cut: cut[::4, ::4])
    path = FramePath(masked, (cutter,), HandOff(samples.append), Quiet(), desk)
    for number in (1, 2):
        path.classify(still(), Stamp(number * 1000, float(number), ZERO))
    first = desk.recent(1000)
    assert first is not None
    rig.frames[1000] = first
    rig.plan()
    rig.offer(1, array=samples[0].array)
    rig.offer(200, array=255 - samples[1].array)  # looks otherwise, or it would be a duplicate
    rig.close()
    whole, small = rig.pictures()
    assert whole.shape == (80, 80, 3)
    assert small.shape == (20, 20, 3)
    assert not whole[:, :40].any()
    assert (whole[:, 42:] == 255).all()
    assert not (255 - small)[:, :10].any()


def test_what_looks_like_a_kept_picture_is_not_kept_also_after_a_restart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.plan()
    rig.offer(1)
    rig.offer(2, array=textured(1))
    rig.close()
    assert (rig.observer.kept, rig.observer.dropped) == ({"low_margin": 1}, {"duplicate": 1})
    again = Rig(tmp_path)
    again.plan(rules=[{"name": "hard", "pause": 0, "per_label": 2}])
    again.offer(3, array=textured(1))
    again.offer(4)
    again.close()
    assert (again.observer.kept, again.observer.dropped) == ({"low_margin": 1}, {"duplicate": 1})
    assert again.observer.sizes[-1][0] == 2


def test_the_day_s_quota_outlives_the_process(tmp_path: Path) -> None:
    for number in (1, 2):
        rig = Rig(tmp_path)
        rig.plan(rules=[{"name": "hard", "pause": 0, "per_label": 1}])
        _wait_for(lambda rig=rig: bool(rig.observer.sizes))
        rig.offer(number)
        rig.close()
    assert (rig.observer.kept, rig.observer.dropped) == ({}, {"quota": 1})


def _wait_for(condition: object) -> None:
    assert callable(condition)
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("not in time")


def test_a_shadow_that_says_otherwise_is_a_reason(rig: Rig) -> None:
    rig.plan()
    for number, shadow in ((1, answer(0.98, 0.02, at_s=1.0)), (2, answer(0.1, 0.9, at_s=2.0))):
        prediction = answer(0.99, 0.01, at_s=float(number))
        rig.collector.compare(batch_of(prediction, textured(number)), [prediction], [shadow])
    rig.close()
    (line,) = rig.lines()
    assert line["why"] == "disagreement"
    assert line["shadow"] == {"label": "defect", "probability": 0.9, "sha256": "ab" * 32}


def test_a_full_queue_drops_and_never_waits(rig: Rig) -> None:
    """The writing thread stands still (it waits for a lock that the test holds); offering goes on."""
    rig.plan()
    held, go = threading.Event(), threading.Event()

    def slow(_camera: str, _index: int) -> Frame | None:
        return None

    class Slow(Observer):
        def collection(self, pictures: int, size_bytes: int) -> None:
            super().collection(pictures, size_bytes)
            if pictures:
                held.set()
                assert go.wait(PATIENCE_S)

    observer = Slow()
    collector = Collector(CollectorParts(rig.folder / "slow", slow, observer))
    rig.observer, rig.collector = observer, collector
    rig.plan()
    rig.offer(0)
    assert held.wait(PATIENCE_S)
    for number in range(1, QUEUED + 6):
        rig.offer(number)
    assert observer.dropped == {"queue": 5}
    go.set()
    collector.close(PATIENCE_S)
    assert observer.kept == {"low_margin": QUEUED + 1}


def test_a_folder_that_cannot_be_written_is_said_once_and_counted(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    (rig.folder / FOLDER).write_text("in the way")
    rig.plan()
    rig.offer(1)
    rig.offer(2)
    rig.close()
    assert rig.observer.dropped == {"failed": 2}
    assert len(caplog.records) == 1


def test_without_rules_nothing_runs(rig: Rig) -> None:
    rig.plan(rules=[])
    rig.offer(1)
    assert rig.collector.thread is None
    assert not (rig.folder / FOLDER).exists()
