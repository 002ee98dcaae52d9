"""What a changed configuration does to engines that run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

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

PATIENCE_S = 30.0


def settings_with(folder: Path, inference: InferenceSettings) -> Settings:
    return Settings(
        node=NodeSettings(name="test", state_dir=folder / "state"),
        inference=inference,
        models={"tiny": ModelSettings(file=folder / "tiny.onnx")},
        cameras=[
            CameraSettings(
                name="line",
                source="synthetic:line",
                enabled=False,  # the test offers in its place
                regions=[RegionSettings(name=f"region_{number}") for number in range(4)],
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
        four = settings_with(tmp_path, InferenceSettings(max_batch=4, max_wait=PATIENCE_S, max_age=60.0))
        pipeline.apply(four, tmp_path, load_classifiers(four, tmp_path))
        offer_four()
        assert answered == [4, 4, 4, 4]
    finally:
        pipeline.stop(1.0)
