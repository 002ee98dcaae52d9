"""The static INT8 form of a model file (whether it wins is measured in `int8_proof`).

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

import io
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Literal

import onnx

from edgenode.errors import ModelError
from edgenode.inference.card import INPUT_NAME, ModelCard, Quantisation
from edgenode.records import U8
from trainer.onnx_graph import before_nth, card_of, kinds_between, last_of, strip

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
QUANTISED = ("Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool")
CALIBRATION_PICTURES = 256
Ranges = Literal["widest", "clipped"]
"""Of an activation: all that calibration saw, or without its rarest 0.01 %, which leaves finer steps for the rest."""
GOLDEN_TOLERANCE = 0.05
"""Integer kernels round differently from processor to processor; a wrong model is off by far more."""


def quantise(
    model_path: Path,
    calibration: U8,
    out: Path,
    quantisation: Quantisation | None = None,
    ranges: Ranges = "widest",
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
    graph = int8_graph(model, calibration, ranges)
    return write_model(
        graph, out, facts_of(card), card.temperature, quantisation=quantisation, tolerance=GOLDEN_TOLERANCE
    )


def int8_graph(model: onnx.ModelProto, calibration: U8, ranges: Ranges = "widest") -> onnx.ModelProto:
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
            calibrate_method=CalibrationMethod.MinMax if ranges == "widest" else CalibrationMethod.Percentile,
            extra_options={"QuantizeBias": True, "CalibPercentile": 99.99},
        )
        graph = onnx.load(str(target))
    strip(graph)
    return graph


class _Reader:
    """Feeds onnxruntime's calibration one batch at a time, all of one size: its histograms take no other."""

    def __init__(self, images: U8) -> None:
        batch = next(size for size in range(32, 0, -1) if len(images) % size == 0)
        self._batches = iter([images[start : start + batch] for start in range(0, len(images), batch)])

    def get_next(self) -> dict[str, U8] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime's quantiser advises a preprocessing step that changes nothing here, and prints what it does."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)
