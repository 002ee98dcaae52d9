"""Static INT8 beside FP32: made, measured in one run, and chosen only where it wins.

QDQ format, uint8 activations, int8 weights per channel (int8 activations are slower on x86), ranges from
training pictures. What stays in float:
- the preprocessing, whose bytes are exact already;
- the last dense layer and the softmax: 256 steps of a logit are too coarse for a probability (onnxruntime's default
  quantises the softmax too, and can turn every probability of a large model into 0);
- a first convolution that no pooling follows: with 1 or 3 channels the integer kernel is slower than the float one
  (pictures a second at 64×64, stem quantised / in float: edge-s 6,100 / 9,200, edge-m 3,750 / 4,400; at 224×224
  edge-m 600 / 1,250; but classic, whose pooling would then run in float, 4,700 / 2,600).
"""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgenode.errors import ModelError
from edgenode.inference.card import INPUT_NAME, Interval, ModelCard, Quantisation
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.records import F32, U8
from trainer.classify import classify_all
from trainer.onnx_graph import before_nth, card_of, kinds_between, last_of, strip

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
QUANTISED = ("Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool")
CALIBRATION_PICTURES = 256
GOLDEN_TOLERANCE = 0.05
"""Integer kernels round differently from processor to processor; a wrong model is off by far more."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one picture costs through the node's classifier on one thread, one picture a run."""

    file_bytes: int
    wall_ms: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class SideBySide:
    """FP32 and INT8, measured in turns in one run."""

    float_cost: Cost
    int8_cost: Cost
    speedup: float
    """FP32 time over INT8 time, median of pairs."""
    float_accuracy: float
    int8_accuracy: float
    accuracy_change: Interval
    """INT8 minus FP32 on the same pictures, with its 95 % interval (paired bootstrap)."""


def quantise(
    model_path: Path, calibration: U8, out: Path, quantisation: Quantisation | None = None
) -> ModelCard:
    """Writes the INT8 form of the model file `model_path` to `out`, with its card and a golden vector of its own.

    `calibration` uint8 [N, H, W, C] are training pictures; at most 256 are used. Raises ModelError.
    """
    from trainer.export import facts_of, write_model

    model = onnx.load(str(model_path))
    card = card_of(model, str(model_path))
    if card is None:
        raise ModelError(f"{model_path} has no model card; import it first")
    strip(model)
    graph = int8_graph(model, calibration)
    return write_model(
        graph, out, facts_of(card), card.temperature, quantisation=quantisation, tolerance=GOLDEN_TOLERANCE
    )


def int8_graph(model: onnx.ModelProto, calibration: U8) -> onnx.ModelProto:
    """The INT8 form of a graph."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the library is loaded
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    step = max(1, len(calibration) // CALIBRATION_PICTURES)
    excluded = before_nth(model, WEIGHTED, 1 if "MaxPool" in kinds_between(model, WEIGHTED, 2) else 2)
    head = last_of(model, WEIGHTED)
    names = [node.name for node in model.graph.node]
    if head is not None:
        excluded += names[names.index(head) :]
    with tempfile.TemporaryDirectory() as directory, _quiet():
        target = Path(directory) / "int8.onnx"
        quantize_static(
            onnx.shape_inference.infer_shapes(model),
            str(target),
            _Reader(calibration[::step][:CALIBRATION_PICTURES]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=excluded,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"QuantizeBias": True},
        )
        graph = onnx.load(str(target))
    strip(graph)
    return graph


def side_by_side(
    float_path: Path, int8_path: Path, images: U8, labels: NDArray[Any], rounds: int = 40
) -> SideBySide:
    """Measures both files on the same pictures, in turns, so that a busy machine slows both alike."""
    float_model = Classifier.load(float_path, ClassifierOptions())
    int8_model = Classifier.load(int8_path, ClassifierOptions())
    try:
        float_right = correct(classify_all(float_model, images)[0], labels)
        int8_right = correct(classify_all(int8_model, images)[0], labels)
        one = images[:1]
        float_times, int8_times = [], []
        for _ in range(rounds):
            float_times.append(_timed(float_model, one))
            int8_times.append(_timed(int8_model, one))
    finally:
        float_model.close()
        int8_model.close()
    return SideBySide(
        float_cost=_cost(float_path, float_times),
        int8_cost=_cost(int8_path, int8_times),
        speedup=statistics.median(f[0] / i[0] for f, i in zip(float_times, int8_times, strict=True)),
        float_accuracy=float(float_right.mean()),
        int8_accuracy=float(int8_right.mean()),
        accuracy_change=paired_change(float_right, int8_right),
    )


def wins(measured: SideBySide, tolerance: float) -> bool:
    """Whether INT8 is faster and loses no more than `tolerance` (a fraction) of accuracy."""
    return measured.speedup > 1.0 and measured.accuracy_change.value >= -tolerance - 1e-9


def paired_change(before: NDArray[np.float64], after: NDArray[np.float64], rounds: int = 2000) -> Interval:
    """Mean of after − before over the same pictures and its 95 % bootstrap interval (percentiles)."""
    change = after - before
    draws = np.random.default_rng(0).integers(0, len(change), (rounds, len(change)))
    means = change[draws].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(value=float(change.mean()), low=float(low), high=float(high))


class _Reader:
    """Feeds onnxruntime's calibration one batch at a time."""

    def __init__(self, images: U8, batch: int = 32) -> None:
        self._batches = iter([images[start : start + batch] for start in range(0, len(images), batch)])

    def get_next(self) -> dict[str, U8] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}


def correct(probabilities: F32, labels: NDArray[Any]) -> NDArray[np.float64]:
    """1 where right; of several labels, the part of them that is right."""
    if labels.ndim == 2:
        return np.asarray(((probabilities >= 0.5) == (labels >= 0.5)).mean(axis=1), dtype=np.float64)
    return np.asarray(probabilities.argmax(axis=1) == labels, dtype=np.float64)


def _timed(model: Classifier, one: U8, repeats: int = 8) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        model.classify(one)
    return (time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats


def _cost(path: Path, times: list[tuple[float, float]]) -> Cost:
    return Cost(
        file_bytes=path.stat().st_size,
        wall_ms=1000 * statistics.median(wall for wall, _ in times),
        cpu_s=statistics.median(cpu for _, cpu in times),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime's quantiser advises a preprocessing step that changes nothing here."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
