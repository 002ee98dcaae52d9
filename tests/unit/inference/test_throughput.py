"""The measuring parts: the figures agree with each other and come from runs that happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenode.errors import ModelError
from edgenode.inference.classifier import ClassifierOptions
from edgenode.inference.onnx_file import file_sha256
from edgenode.inference.throughput import (
    Effort,
    Spread,
    Throughput,
    ThroughputPoint,
    measure_throughput,
    spread,
)
from tests.models import make_model

SHORT = Effort(warm_up_s=0.0, round_s=0.005, rounds=3)


def test_every_pair_of_batch_and_threads_is_measured(tmp_path: Path) -> None:
    path = make_model(tmp_path / "m.onnx", trips=50)
    result = measure_throughput(
        path, batches=(1, 4, 4), threads=(1, 2), options=ClassifierOptions(), effort=SHORT
    )
    assert [(p.batch, p.threads) for p in result.points] == [(1, 1), (4, 1), (1, 2), (4, 2)]
    assert (result.model, result.version, result.sha256) == ("tiny", "1.0.0", file_sha256(path))
    for point in result.points:
        assert point.runs >= SHORT.rounds
        assert point.provider == "cpu"
        assert point.cpu_s_per_image.median > 0
        for figure in (point.images_per_s, point.cpu_s_per_image, point.run_s):
            ordered = [
                figure.lowest, figure.lower_quartile, figure.median, figure.upper_quartile, figure.highest,
            ]  # fmt: skip
            assert ordered == sorted(ordered)
        assert point.batch / point.run_s.highest <= point.images_per_s.lowest * 1.000001
        assert point.batch / point.run_s.lowest >= point.images_per_s.highest * 0.999999
    assert result.best in result.points


def test_a_broken_model_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        measure_throughput(make_model(tmp_path / "m.onnx", defect="golden_wrong"), batches=(1,), effort=SHORT)


def test_spread_of_known_numbers() -> None:
    assert spread([4.0, 1.0, 3.0, 2.0, 5.0]) == Spread(3.0, 2.0, 4.0, 1.0, 5.0)
    assert spread([2.5]) == Spread(2.5, 2.5, 2.5, 2.5, 2.5)


def test_best_is_the_cheapest_of_the_fastest() -> None:
    def point(batch: int, images_per_s: float, cpu_s: float) -> ThroughputPoint:
        return ThroughputPoint(
            batch, 1, "cpu", 1, flat(images_per_s), flat(cpu_s), flat(batch / images_per_s)
        )

    slow, fast, close = point(1, 50, 0.001), point(4, 100, 0.02), point(8, 98, 0.01)
    assert Throughput("m", "1", "0", (slow, fast, close)).best is close


def flat(value: float) -> Spread:
    return Spread(value, value, value, value, value)
