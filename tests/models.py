"""Tiny, deterministic edgenode model files for tests; `tests.broken_models` has the ways to spoil one.

The network is a nearest-colour classifier: mean colour of the picture → squared distance to one prototype
colour per label → softmax. By default the prototypes are greys from black (first label) to white (last), so a
picture filled with 255 is the last label. Nothing is random; the same arguments give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgenode.inference.card import (
    METADATA_KEY,
    Comparison,
    DriftReference,
    Evaluation,
    InputSpec,
    Interval,
    ModelCard,
    Threshold,
    Training,
    golden_input,
    golden_vector,
)
from tests.broken_models import BYTE_DEFECTS, DEFECTS, GRAPH_DEFECTS

__all__ = [
    "BRIGHT",
    "DEFECTS",
    "ENDLESS",
    "Tiny",
    "better_than",
    "expected",
    "file_sha256",
    "make_card",
    "make_model",
    "model_bytes",
]

SHARPNESS = 4.0
"""How fast the probability falls with the squared distance (colours from 0 to 1)."""
BRIGHT = 0.97
"""Mean colour (0 to 1) from which the `nan_when_bright` and `trips_when_bright` behaviours set in: no golden
input is that bright, a picture filled with 255 is."""
ENDLESS = 2**62


@dataclass(frozen=True)
class Tiny:
    """What `make_model` builds. `prototypes` is one colour (C values from 0 to 1) for each label."""

    labels: tuple[str, ...] = ("dark", "bright")
    height: int = 8
    width: int = 8
    color: Literal["rgb", "grey"] = "rgb"
    name: str = "tiny"
    version: str = "1.0.0"
    task: Literal["single_label", "multi_label"] = "single_label"
    prototypes: tuple[tuple[float, ...], ...] | None = None
    resize: Literal["stretch", "letterbox", "crop"] = "stretch"
    embedding: bool = False
    """Adds the output `embedding`: the mean colour, float32 [N, C]."""
    abstain_below: float = 0.0
    thresholds: tuple[Threshold, ...] = ()
    evaluation: Evaluation | None = None
    comparison: Comparison | None = None
    drift: DriftReference | None = None
    nan_when_bright: bool = False
    """Rows of bright pictures answer NaN; the others stay right."""
    trips_when_bright: int = 0
    """Turns of a `Loop` that a batch with a bright picture takes; `ENDLESS` never ends."""
    trips: int = 0
    """Turns of a `Loop` that every batch takes."""
    defect: str | None = None
    """One of `DEFECTS`; they expect the default labels, size and colour."""

    @property
    def channels(self) -> int:
        return 3 if self.color == "rgb" else 1


def make_model(
    path: Path,
    labels: Sequence[str] = ("dark", "bright"),
    height: int = 8,
    width: int = 8,
    color: Literal["rgb", "grey"] = "rgb",
    **options: object,
) -> Path:
    """Write a valid model file (unless `defect` says otherwise) to `path` and return `path`.

    `options` are the other fields of `Tiny`.
    """
    tiny = Tiny(labels=tuple(labels), height=height, width=width, color=color, **options)  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_bytes(tiny))
    return path


def model_bytes(tiny: Tiny) -> bytes:
    """The file's bytes. Byte-level defects are applied last."""
    if tiny.defect is not None and tiny.defect not in DEFECTS:
        raise ValueError(f"{tiny.defect!r} is not one of {', '.join(DEFECTS)}")
    model = build_graph(tiny)
    model.metadata_props.add(key=METADATA_KEY, value=make_card(tiny).to_json())
    if tiny.defect in GRAPH_DEFECTS:
        GRAPH_DEFECTS[tiny.defect](model)
    data = model.SerializeToString(deterministic=True)
    if tiny.defect in BYTE_DEFECTS:
        data = BYTE_DEFECTS[tiny.defect](data)
    return data


def make_card(tiny: Tiny) -> ModelCard:
    """The card with the golden vector that numpy computes: a second opinion on onnxruntime."""
    spec = InputSpec(height=tiny.height, width=tiny.width, color=tiny.color, resize=tiny.resize)
    card = ModelCard(
        card_version=2,
        name=tiny.name,
        version=tiny.version,
        description="nearest mean colour, made by the tests",
        task=tiny.task,
        labels=list(tiny.labels),
        input=spec,
        thresholds=list(tiny.thresholds),
        abstain_below=tiny.abstain_below,
        evaluation=tiny.evaluation,
        comparison=tiny.comparison,
        drift=tiny.drift,
        training=Training(architecture="mean-colour", parameters=len(tiny.labels) * (tiny.channels + 1)),
        golden=golden_vector(spec, expected(tiny, golden_input(spec, 2, 0))),
        created_at="2026-01-01T00:00:00Z",
    )
    return card.model_copy(update={"card_version": card.needed_version})


def better_than(before: Path) -> Comparison:
    """What a maker writes who has found a model better than the file `before`."""
    return Comparison(
        against_sha256=file_sha256(before),
        verdict="better",
        samples=400,
        test_set_sha256="0" * 64,
        accuracy_before=0.91,
        accuracy_now=0.95,
        difference=Interval(value=0.04, low=0.02, high=0.06),
        p_value=0.001,
    )


def expected(tiny: Tiny, images: np.ndarray) -> np.ndarray:
    """Probabilities float32 [N, K] of `images` uint8 [N, H, W, C], by numpy in float64."""
    weight, bias = _weights(tiny)
    logits = images.astype(np.float64).mean(axis=(1, 2)) / 255.0 @ weight.astype(np.float64) + bias
    if tiny.task == "multi_label":
        return (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def file_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _weights(tiny: Tiny) -> tuple[np.ndarray, np.ndarray]:
    count = len(tiny.labels)
    greys = tuple((i / (count - 1),) * tiny.channels for i in range(count))
    prototypes = np.array(tiny.prototypes if tiny.prototypes is not None else greys, dtype=np.float32)
    return 2 * SHARPNESS * prototypes.T, -SHARPNESS * (prototypes**2).sum(axis=1)


def build_graph(tiny: Tiny) -> onnx.ModelProto:
    """The network without its card."""
    weight, bias = _weights(tiny)
    constants = {
        "scale": np.float32(1 / 255),
        "plane": np.array([1, 2], dtype=np.int64),
        "weight": weight.astype(np.float32),
        "bias": bias.astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "plane"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["distance"]),
        helper.make_node("Add", ["distance", "bias"], ["logits0"]),
    ]
    logits = "logits0"
    if tiny.nan_when_bright:
        constants |= {
            "bright": np.float32(BRIGHT),
            "nothing": np.float32(0),
            "last": np.array([1], dtype=np.int64),
        }
        nodes += [
            helper.make_node("ReduceMean", ["mean", "last"], ["luma"], keepdims=1),
            helper.make_node("Sub", ["bright", "luma"], ["room"]),
            helper.make_node("Log", ["room"], ["log_room"]),  # NaN where the room is negative
            helper.make_node("Mul", ["log_room", "nothing"], ["poison"]),
            helper.make_node("Add", [logits, "poison"], ["logits1"]),
        ]
        logits = "logits1"
    if tiny.trips or tiny.trips_when_bright:
        nodes += _loop(tiny, constants, logits)
        logits = "logits2"
    final = "Softmax" if tiny.task == "single_label" else "Sigmoid"
    nodes.append(
        helper.make_node(final, [logits], ["probabilities"], **({"axis": 1} if final == "Softmax" else {}))
    )
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(tiny.labels)])]
    if tiny.embedding:
        nodes.append(helper.make_node("Identity", ["mean"], ["embedding"]))
        outputs.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", tiny.channels]))
    shape = ["N", tiny.height, tiny.width, tiny.channels]
    graph = helper.make_graph(
        nodes,
        tiny.name,
        [helper.make_tensor_value_info("images", TensorProto.UINT8, shape)],
        outputs,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9, producer_name="tests"
    )


def _loop(tiny: Tiny, constants: dict[str, np.ndarray], logits: str) -> list[onnx.NodeProto]:
    """Nodes that add sin(sin(… 0)) = 0 to the logits, after as many turns as asked."""
    body = helper.make_graph(
        [
            helper.make_node("Sin", ["turn_in"], ["turn_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "turns",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("turn_in", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("turn_out", TensorProto.FLOAT, []),
        ],
    )
    constants |= {
        "zero": np.float32(0),
        "go": np.array(True),
        "limit": np.float32(BRIGHT),
        "few": np.array(tiny.trips, dtype=np.int64),
        "many": np.array(max(tiny.trips, tiny.trips_when_bright), dtype=np.int64),
    }
    return [
        helper.make_node("ReduceMax", ["mean"], ["brightest"], keepdims=0),
        helper.make_node("Greater", ["brightest", "limit"], ["is_bright"]),
        helper.make_node("Where", ["is_bright", "many", "few"], ["trips"]),
        helper.make_node("Loop", ["trips", "go", "zero"], ["turned"], body=body),
        helper.make_node("Add", [logits, "turned"], ["logits2"]),
    ]
