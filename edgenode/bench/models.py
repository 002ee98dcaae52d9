"""Untrained CNNs of three sizes, written as model files by hand: a CNN's time does not depend on its weights.

The ONNX format is protocol buffers (onnx.proto of the ONNX project); a benchmark needs five of its messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenode.inference.card import METADATA_KEY, InputSpec, ModelCard, Training, golden_input, golden_vector
from edgenode.inference.plain_session import PlainSession

LABELS = ("one", "two", "three")
_IR_VERSION, _OPSET = 8, 17
_FLOAT, _UINT8 = 1, 2
_GOLDEN = 2


@dataclass(frozen=True, slots=True)
class Layer:
    """A 3x3 convolution and a ReLU."""

    channels: int
    stride: int


@dataclass(frozen=True, slots=True)
class Net:
    side: int
    layers: tuple[Layer, ...]


NETS: Mapping[str, Net] = {
    "tiny": Net(32, (Layer(8, 2), Layer(16, 2), Layer(32, 2))),
    "small": Net(64, (Layer(32, 1), Layer(64, 2), Layer(128, 2))),
    "medium": Net(224, (Layer(32, 2), Layer(64, 2), Layer(128, 2), Layer(256, 2), Layer(256, 1))),
}
"""0.1, 41 and 300 million multiplications and additions an image."""


def write_model(name: str, path: Path) -> None:
    """The model file of `NETS[name]`, with a card and a golden vector like any other."""
    net = NETS[name]
    graph = _graph(net)
    path.write_bytes(_model(graph, None))
    spec = InputSpec(height=net.side, width=net.side)
    answers = PlainSession(path, tuned=True).run(golden_input(spec, _GOLDEN, 0))
    card = ModelCard(
        name=name,
        version="0",
        description="untrained, for benchmarks",
        labels=list(LABELS),
        input=spec,
        training=Training(architecture=f"bench {name}", parameters=0, origin="edgenode bench"),
        golden=golden_vector(spec, answers),
    )
    path.write_bytes(_model(graph, card.to_json()))


def _graph(net: Net) -> bytes:
    rng = np.random.default_rng(net.side)
    nodes = [
        _node("Cast", ["images"], "floats", _attribute("to", _FLOAT)),
        _node("Mul", ["floats", "scale"], "scaled"),
        _node("Transpose", ["scaled"], "planes", _attribute("perm", (0, 3, 1, 2))),
    ]
    tensors = [_tensor("scale", np.full((1,), 1.0 / 255.0, dtype=np.float32))]
    last, channels = "planes", 3
    for number, layer in enumerate(net.layers):
        fan_in = 9 * channels
        weights = rng.normal(0.0, np.sqrt(2.0 / fan_in), (layer.channels, channels, 3, 3))
        tensors.append(_tensor(f"w{number}", weights.astype(np.float32)))
        strides = _attribute("strides", (layer.stride, layer.stride))
        pads = _attribute("pads", (1, 1, 1, 1))
        nodes.append(_node("Conv", [last, f"w{number}"], f"c{number}", strides, pads))
        nodes.append(_node("Relu", [f"c{number}"], f"r{number}"))
        last, channels = f"r{number}", layer.channels
    tensors.append(_tensor("head", rng.normal(0.0, 0.1, (channels, len(LABELS))).astype(np.float32)))
    nodes += [
        _node("GlobalAveragePool", [last], "pooled"),
        _node("Flatten", ["pooled"], "flat"),
        _node("MatMul", ["flat", "head"], "logits"),
        _node("Softmax", ["logits"], "probabilities", _attribute("axis", 1)),
    ]
    images = _port("images", _UINT8, (net.side, net.side, 3))
    answers = _port("probabilities", _FLOAT, (len(LABELS),))
    parts = [_bytes(1, node) for node in nodes]
    parts.append(_bytes(2, b"bench"))
    parts += [_bytes(5, tensor) for tensor in tensors]
    return b"".join([*parts, _bytes(11, images), _bytes(12, answers)])


def _model(graph: bytes, card: str | None) -> bytes:
    parts = [_number(1, _IR_VERSION), _bytes(7, graph), _bytes(8, _number(2, _OPSET))]
    if card is not None:
        parts.append(_bytes(14, _bytes(1, METADATA_KEY.encode()) + _bytes(2, card.encode())))
    return b"".join(parts)


def _node(kind: str, inputs: Sequence[str], output: str, *attributes: bytes) -> bytes:
    parts = [_bytes(1, name.encode()) for name in inputs]
    parts += [_bytes(2, output.encode()), _bytes(3, output.encode()), _bytes(4, kind.encode())]
    return b"".join([*parts, *(_bytes(5, attribute) for attribute in attributes)])


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _bytes(1, name.encode()) + _number(3, value) + _number(20, 2)
    return _bytes(1, name.encode()) + b"".join(_number(8, each) for each in value) + _number(20, 7)


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    dims = b"".join(_number(1, size) for size in values.shape)
    return dims + _number(2, _FLOAT) + _bytes(8, name.encode()) + _bytes(9, values.astype("<f4").tobytes())


def _port(name: str, kind: int, shape: Sequence[int]) -> bytes:
    dims = [_bytes(1, _bytes(2, b"N")), *(_bytes(1, _number(1, size)) for size in shape)]
    tensor = _number(1, kind) + _bytes(2, b"".join(dims))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
