"""What a foreign graph answers, and whether the imported one answers the same."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from edgenode.errors import DataError
from edgenode.inference.card import INPUT_NAME, OUTPUT_NAME
from edgenode.inference.runtime import open_session
from edgenode.records import F32, U8
from trainer.onnx_foreign import Entrance, Pixels

OutputKind = Literal["auto", "logits", "probabilities"]


def one_by_one(
    model: onnx.ModelProto, entrance: Entrance, pixels: Pixels, images: U8, output: str
) -> NDArray[Any]:
    """What the untouched graph answers to each picture alone, prepared here with numpy: a second opinion on
    the nodes that are added."""
    session = open_session(model.SerializeToString(), 1, "cpu", "the original")
    kind = onnx.helper.tensor_dtype_to_np_dtype(entrance.element)
    rows = []
    for image in images:
        values = image[..., ::-1] if pixels.bgr else image
        prepared = (values * pixels.scale - np.asarray(pixels.mean)) / np.asarray(pixels.std)
        if entrance.layout == "nchw":
            prepared = prepared.transpose(2, 0, 1)
        answer = session.run([output], {entrance.name: prepared[None].astype(kind)})[0]
        rows.append(np.asarray(answer, dtype=np.float64).reshape(-1))
    return np.stack(rows)


def finish_of(kind: OutputKind, multi_label: bool, raw: NDArray[Any], notes: list[str]) -> str:
    """What must be applied to the graph's answers: "softmax", "sigmoid" or ""."""
    function = "sigmoid" if multi_label or raw.shape[1] == 1 else "softmax"
    if kind != "auto":
        return function if kind == "logits" else ""
    within = bool((raw >= -1e-6).all() and (raw <= 1 + 1e-6).all())
    sums = function == "sigmoid" or bool(np.abs(raw.sum(axis=1) - 1).max() < 1e-3)
    if within and sums:
        notes.append("its answers are probabilities")
        return ""
    if within:
        raise DataError(
            "its answers lie in 0 to 1 and do not sum to 1: give --multi-label if several labels may hold at "
            "once, else --logits or --probabilities"
        )
    notes.append(f"its answers are logits; a {function} was added")
    return function


def finished(raw: NDArray[Any], count: int, finish: str) -> F32:
    """The probabilities that the answers `raw` mean, float32 [N, count], by numpy."""
    if finish == "softmax":
        raised = np.exp(raw - raw.max(axis=1, keepdims=True))
        raw = raised / raised.sum(axis=1, keepdims=True)
    elif finish == "sigmoid":
        raw = 1.0 / (1.0 + np.exp(-raw))
    if raw.shape[1] < count:
        raw = np.concatenate([1.0 - raw, raw], axis=1)
    return raw.astype(np.float32)


def distance(model: onnx.ModelProto, images: U8, expected: F32) -> float:
    """The largest difference of a probability; infinite where the graph does not run."""
    try:
        session = open_session(model.SerializeToString(), 1, "cpu", "the imported graph")
        seen = session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
    except Exception:  # a way that does not run is a way that is not taken; the caller reports it
        return float("inf")
    if seen.shape != expected.shape or not np.isfinite(seen).all():
        return float("inf")
    return float(np.abs(seen - expected).max())
