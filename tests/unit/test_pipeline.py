"""What a changed configuration does to engines that run."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from edgenode.clock import SystemClock
from edgenode.pipeline import Pipeline
from edgenode.records import Prediction, Sample
from edgenode.settings import (
    CameraSettings,
    InferenceSettings,
    ModelSettings,
    NodeSettings,
    RegionSettings,
    Settings,
)
from edgenode.telemetry.health import Health
from edgenode.telemetry.metrics import Metrics
from edgenode.wiring import load_classifiers
from tests.models import make_model

PATIENCE_S = 60.0


def settings_with(folder: Path, inference: InferenceSettings, regions: int = 4) -> Settings:
    return Settings(
        node=NodeSettings(name="test", state_dir=folder / "state"),
        inference=inference,
        models={"tiny": ModelSettings(file=folder / "tiny.onnx")},
        cameras=[
            CameraSettings(
                name="line",
                source="synthetic:line",
                enabled=False,  # the test offers in its place
                regions=[RegionSettings(name=f"region_{number}") for number in range(regions)],
            )
        ],
    )


def test_a_reload_that_changes_how_models_run_is_not_ignored(tmp_path: Path) -> None:
    make_model(tmp_path / "tiny.onnx")
    answered: list[int] = []
    arrived = threading.Condition()

    def deliver(predictions: Sequence[Prediction]) -> None:
        with arrived:
            answered.extend(prediction.batch_size for prediction in predictions)
            arrived.notify_all()

    def offer_four() -> None:
        clock = SystemClock()
        for number in range(4):
            pipeline.offer(
                Sample(
                    camera="line",
                    region=f"region_{number}",
                    model="tiny",
                    frame_index=number,
                    captured_s=clock.monotonic(),
                    captured_at=datetime.now(UTC),
                    array=np.zeros((8, 8, 3), np.uint8),
                )
            )
        with arrived:
            assert arrived.wait_for(lambda: len(answered) % 4 == 0 and answered, PATIENCE_S)

    pipeline = Pipeline(
        deliver, lambda _: None, lambda *_: None, Metrics(), Health(), SystemClock()
    )  # fmt: skip
    try:
        one = settings_with(tmp_path, InferenceSettings(max_batch=1, max_age=60.0))
        pipeline.apply(one, tmp_path, load_classifiers(one, tmp_path))
        offer_four()
        assert answered == [1, 1, 1, 1]
        answered.clear()
        # a full batch is waited for, so its size does not hang on which thread is quicker
        four = settings_with(tmp_path, InferenceSettings(max_batch=4, max_wait=30.0, max_age=60.0))
        pipeline.apply(four, tmp_path, load_classifiers(four, tmp_path))
        offer_four()
        assert answered == [4, 4, 4, 4]
    finally:
        pipeline.stop(1.0)


def test_no_sample_is_lost_while_a_reload_rebuilds_an_engine(tmp_path: Path) -> None:
    """What came between the end of the old engine and the start of the new one was counted nowhere."""
    make_model(tmp_path / "tiny.onnx")
    answered: list[int] = []
    clock, metrics = SystemClock(), Metrics()
    pipeline = Pipeline(
        lambda predictions: answered.extend(each.frame_index for each in predictions),
        lambda _: None,
        lambda *_: None,
        metrics,
        Health(),
        clock,
    )
    offered = 0
    over = threading.Event()

    def offer() -> None:
        nonlocal offered
        while not over.wait(0.0005):
            pipeline.offer(
                Sample(
                    camera="line",
                    region=f"region_{offered % 4}",
                    model="tiny",
                    frame_index=offered,
                    captured_s=clock.monotonic(),
                    captured_at=datetime.now(UTC),
                    array=np.zeros((8, 8, 3), np.uint8),
                )
            )
            offered += 1

    camera = threading.Thread(target=offer)
    try:
        for turn in range(12):
            settings = settings_with(tmp_path, InferenceSettings(max_batch=1 + turn % 2, max_age=60.0))
            pipeline.apply(settings, tmp_path, load_classifiers(settings, tmp_path))
            if turn == 0:
                camera.start()
    finally:
        over.set()
        camera.join(PATIENCE_S)
        pipeline.stop(PATIENCE_S)
    account = total(metrics)
    assert account["offered"] == offered
    assert account["held"] == 0
    assert account["offered"] == account["taken"] + account["dropped"]
    assert len(answered) == account["taken"]
    assert len(set(answered)) == len(answered), "none was answered twice"
    for region in range(4):
        # a region whose sample was superseded keeps its turn: between regions the order may change
        of_one = [index for index in answered if index % 4 == region]
        assert sorted(of_one) == of_one, "none of a region overtook another"
    assert account["closed"] == 0


def total(metrics: Metrics) -> dict[str, float]:
    """The account of hand-off A, summed over labels."""
    sums = dict.fromkeys(("offered", "taken", "dropped", "held", "closed"), 0.0)
    for family in text_string_to_metric_families(metrics.expose().body.decode()):
        for sample in family.samples:
            match = re.fullmatch(r"edgenode_samples_(offered|taken|dropped|held)(_total)?", sample.name)
            if match:
                sums[match[1]] += sample.value
                sums["closed"] += sample.value if sample.labels.get("reason") == "closed" else 0
    return sums


def test_a_reload_that_adds_regions_gives_each_its_place_in_the_buffer(tmp_path: Path) -> None:
    make_model(tmp_path / "tiny.onnx")
    busy, go_on = threading.Event(), threading.Event()

    def deliver(predictions: Sequence[Prediction]) -> None:
        busy.set()
        assert go_on.wait(PATIENCE_S)

    clock = SystemClock()
    pipeline = Pipeline(deliver, lambda _: None, lambda *_: None, Metrics(), Health(), clock)

    def offer(number: int) -> None:
        array = np.zeros((8, 8, 3), np.uint8)
        at_s, at = clock.monotonic(), datetime.now(UTC)
        pipeline.offer(Sample("line", f"region_{number}", "tiny", number, at_s, at, array))

    try:
        inference = InferenceSettings(max_batch=1, max_age=60.0)
        one = settings_with(tmp_path, inference, regions=1)
        classifiers = load_classifiers(one, tmp_path)
        pipeline.apply(one, tmp_path, classifiers)
        offer(0)
        assert busy.wait(PATIENCE_S), "the model is at work and takes no more"
        pipeline.apply(settings_with(tmp_path, inference), tmp_path, classifiers)
        for number in range(4):
            offer(number)
        counts = pipeline.counts()["tiny"]
        assert (counts.held, sum(counts.dropped.values())) == (4, 0)
    finally:
        go_on.set()
        pipeline.stop(PATIENCE_S)
