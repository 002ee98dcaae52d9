"""What a foreign ONNX graph takes and gives, and the nodes that make it take bytes and give probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

from edgenode.errors import DataError, ModelError
from edgenode.inference.card import INPUT_NAME, OUTPUT_NAME
from trainer.onnx_batch import BATCH

Layout = Literal["nchw", "nhwc"]
_OLDEST_OPSET = 7
"""onnxruntime runs nothing older."""
_CONVERTED_OPSET = 13
_IR_VERSION = 8
_FLOATS = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.DOUBLE: "float64"}


def read_foreign(source: Path) -> tuple[bytes, onnx.ModelProto]:
    """The file's bytes and its model, weights beside it taken in. Raises ModelError."""
    try:
        data = source.read_bytes()
        model = onnx.load_from_string(data)
    except OSError as error:
        raise ModelError(f"{source}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # protobuf raises what it likes on foreign bytes
        raise ModelError(f"{source}: is no ONNX file") from error
    if not model.HasField("graph") or not model.graph.node:
        raise ModelError(f"{source}: is no ONNX file, or one without a graph")
    outside = [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        try:
            onnx.load_external_data_for_model(model, str(source.parent))
        except Exception as error:  # a missing file, a path that leads elsewhere: onnx has many names for it
            raise ModelError(
                f"{source}: keeps weights ({outside[0]}) in another file, which cannot be read: {error}"
            ) from error
        for tensor in model.graph.initializer:
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    return data, model


def upgrade(model: onnx.ModelProto, notes: list[str]) -> None:
    """Lifts what onnxruntime no longer runs, in place. Raises ModelError."""
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    if opset < _OLDEST_OPSET:
        try:
            model.CopyFrom(version_converter.convert_version(model, _CONVERTED_OPSET))
        except Exception as error:  # the converter raises RuntimeError and others
            raise ModelError(f"operator set {opset} is too old and cannot be converted: {error}") from error
        notes.append(f"converted from operator set {opset} to {_CONVERTED_OPSET}")
    model.ir_version = max(model.ir_version, _IR_VERSION) if model.ir_version < 10 else 10


def forget_defaults(model: onnx.ModelProto) -> None:
    """Weights that are also listed as inputs (the rule before IR 4) could be overridden and not be folded."""
    filled = {tensor.name for tensor in model.graph.initializer}
    kept = [port for port in model.graph.input if port.name not in filled]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def keep_output(model: onnx.ModelProto, output: str) -> None:
    """Forgets all other outputs, in place."""
    kept = [port for port in model.graph.output if port.name == output]
    del model.graph.output[:]
    model.graph.output.extend(kept)


@dataclass(frozen=True, slots=True)
class Entrance:
    """The foreign graph's picture input."""

    name: str
    element: int
    """TensorProto data type."""
    layout: Layout
    height: int
    width: int
    channels: int
    batch: int | None
    """The fixed size of the batch; None where it is dynamic."""

    @property
    def sample(self) -> tuple[int, int, int]:
        """One picture's shape as the graph wants it."""
        if self.layout == "nchw":
            return self.channels, self.height, self.width
        return self.height, self.width, self.channels


def find_entrance(
    model: onnx.ModelProto, layout: Layout | None, size: tuple[int, int] | None, channels: int | None
) -> Entrance:
    """The graph's one picture input; what it leaves open is filled from the arguments. Raises DataError."""
    filled = {tensor.name for tensor in model.graph.initializer}
    ports = [port for port in model.graph.input if port.name not in filled]
    if len(ports) != 1:
        raise DataError(
            f"the graph has {len(ports)} inputs ({', '.join(p.name for p in ports[:5])}); a classifier of "
            "pictures has one"
        )
    port, kind = ports[0], ports[0].type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
    if len(dims) != 4 or kind.elem_type not in (*_FLOATS, TensorProto.UINT8):
        name = TensorProto.DataType.Name(kind.elem_type).lower()
        raise DataError(
            f"input {port.name!r} is {name} {dims}; an input of pictures is float or uint8 with 4 dimensions"
        )
    found = layout or _layout(dims)
    if found is None:
        raise DataError(f"input {port.name!r} is {dims}: give --layout nchw or nhwc")
    depth, height, width = dims[1:] if found == "nchw" else (dims[3], dims[1], dims[2])
    depth = depth or channels or 3
    if depth not in (1, 3) or (channels is not None and depth != channels):
        raise DataError(
            f"input {port.name!r} takes {depth} channels, not {channels or '1 or 3'}; "
            "check --layout and --color"
        )
    for stated, given in zip((height, width), size or (0, 0), strict=True):
        if stated and given and stated != given:
            raise DataError(f"the graph takes pictures of {height}×{width}, not of {size}; leave out --size")
    height, width = height or (size or (0, 0))[0], width or (size or (0, 0))[1]
    if not height or not width:
        raise DataError(f"input {port.name!r} is of any size: give --size HxW, the size it was trained with")
    return Entrance(port.name, kind.elem_type, found, height, width, depth, dims[0] or None)


def _layout(dims: Sequence[int]) -> Layout | None:
    first, last = dims[1] in (1, 3), dims[3] in (1, 3)
    return None if first == last else "nchw" if first else "nhwc"


def find_exit(model: onnx.ModelProto, count: int) -> tuple[str, int]:
    """(name, number of values) of the output that holds the answers to `count` labels. Raises DataError.

    One value is taken for two labels: the probability or logit of the second.
    """
    fitting = []
    described = []
    for port in model.graph.output:
        kind = port.type.tensor_type
        dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
        described.append(f"{port.name} {dims}")
        if kind.elem_type not in _FLOATS:
            continue
        inner = [dim for dim in dims[1:] if dim != 1]
        values = inner[0] if len(inner) == 1 else 1 if len(dims) > 1 and not inner else -1
        if values == count or (values == 1 and count == 2) or (values == 0 and len(dims) == 2) or not dims:
            fitting.append((port.name, values if values > 0 else count))
    if not fitting:
        raise DataError(
            f"no output has {count} values, one for each label in the file of labels: {'; '.join(described)}"
        )
    return fitting[0]


@dataclass(frozen=True, slots=True)
class Pixels:
    """How the foreign model wants its pixels: (value · scale - mean) / std, a value a channel."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool


def add_entrance(model: onnx.ModelProto, entrance: Entrance, pixels: Pixels) -> None:
    """Puts `images`, uint8 [N, H, W, C], and what turns it into the graph's own input in front of it, in
    place."""
    graph = model.graph
    factor = np.full(entrance.channels, pixels.scale) / np.asarray(pixels.std)
    shift = np.asarray(pixels.mean) / np.asarray(pixels.std)
    nodes = [helper.make_node("Cast", [INPUT_NAME], ["edgenode/float"], to=TensorProto.FLOAT)]
    weights = []

    def then(kind: str, constant: np.ndarray | None = None, **attributes: object) -> None:
        inputs = [nodes[-1].output[0]]
        if constant is not None:
            inputs.append(f"edgenode/{kind.lower()}_by")
            weights.append(numpy_helper.from_array(constant, inputs[-1]))
        nodes.append(helper.make_node(kind, inputs, [f"edgenode/{kind.lower()}"], **attributes))

    if pixels.bgr:
        then("Gather", np.array([2, 1, 0], dtype=np.int64), axis=3)
    if not np.all(factor == 1.0):
        then("Mul", factor.astype(np.float32))
    if np.any(shift != 0.0):
        then("Sub", shift.astype(np.float32))
    if entrance.layout == "nchw":
        then("Transpose", perm=[0, 3, 1, 2])
    nodes.append(helper.make_node("Cast", [nodes[-1].output[0]], [entrance.name], to=entrance.element))
    _prepend(graph, nodes)
    graph.initializer.extend(weights)
    shape = [BATCH, entrance.height, entrance.width, entrance.channels]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, shape))


def add_exit(model: onnx.ModelProto, output: str, values: int, count: int, finish: str) -> None:
    """Ends the graph in `probabilities`, float32 [N, count], in place.

    `finish` says what the graph's own output is: "softmax" or "sigmoid" is applied to logits, "" to nothing.
    """
    nodes = [
        helper.make_node("Cast", [output], ["edgenode/answer"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["edgenode/answer", "edgenode/answer_shape"], ["edgenode/rows"]),
    ]
    weights = [numpy_helper.from_array(np.array([-1, values], dtype=np.int64), "edgenode/answer_shape")]
    if values < count:
        last = "edgenode/rows"
        if finish:
            nodes.append(helper.make_node("Sigmoid", [last], ["edgenode/second"]))
            last = "edgenode/second"
        weights.append(numpy_helper.from_array(np.array([1.0], dtype=np.float32), "edgenode/certain"))
        nodes.append(helper.make_node("Sub", ["edgenode/certain", last], ["edgenode/first"]))
        nodes.append(helper.make_node("Concat", ["edgenode/first", last], [OUTPUT_NAME], axis=1))
    elif finish == "softmax":
        nodes.append(helper.make_node("Softmax", ["edgenode/rows"], [OUTPUT_NAME], axis=1))
    else:
        kind = "Sigmoid" if finish == "sigmoid" else "Identity"
        nodes.append(helper.make_node(kind, ["edgenode/rows"], [OUTPUT_NAME]))
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [BATCH, count]))


def _prepend(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def make_room(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Renames tensors of the graph that are called like one of ours."""
    for name in names:
        _rename(model.graph, name, f"foreign/{name}")


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for named in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        if named.name == old:
            named.name = new
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _rename(inner, old, new)
