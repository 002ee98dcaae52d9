"""Turning a graph made for one picture into one for any number of them.

Two ways. Where every operator between input and output can be shown to treat the samples of a batch apart,
the fixed 1 is replaced, in the shapes and in the constants of Reshape. Where one cannot, the graph becomes
the body of a Loop over the pictures: always right, and as slow as one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgenode.inference.runtime import open_session

BATCH = "N"
"""Name of the dynamic dimension."""

_FIRST_ALONE = frozenset({
    "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh",
    "Softplus", "Softsign", "Mish", "Gelu", "Erf", "Exp", "Log", "Sqrt", "Abs", "Neg", "Floor", "Ceil",
    "Round", "Reciprocal", "Identity", "Dropout", "Cast", "Clip", "ThresholdedRelu", "LRN",
    "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "AveragePool", "MaxPool", "LpPool",
    "BatchNormalization", "InstanceNormalization", "DepthToSpace", "SpaceToDepth", "Conv",
    "ConvTranspose",
})  # fmt: skip
"""Operators whose first input carries the batch and that never mix its samples, all other inputs constant."""
_BROADCAST = frozenset({
    "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "PRelu", "Where", "Greater", "Less",
    "Equal",
})  # fmt: skip
_REDUCE = frozenset({
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
    "ReduceLogSumExp", "ReduceSumSquare",
})  # fmt: skip
_CONSTANT, _BATCHED, _SHAPE = "constant", "batched", "shape"
Shapes = Mapping[str, tuple[int, ...]]


class NotProvenError(Exception):
    """An operator that may mix the samples of a batch; the text names it."""


def make_dynamic(model: onnx.ModelProto, source: str) -> None:
    """Replaces the batch of 1 in `model`, whose input `source` has a static shape, in place.

    Raises NotProvenError, leaving the model as it was, where it is not sure that the samples stay apart.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    shapes = _static_shapes(model, source)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    opset = next((item.version for item in copy.opset_import if item.domain in ("", "ai.onnx")), 1)
    state: dict[str, str] = dict.fromkeys(constants, _CONSTANT) | {source: _BATCHED}
    for node in graph.node:
        kinds = [state.get(name, _CONSTANT) for name in node.input if name]
        if all(kind == _CONSTANT for kind in kinds):
            if node.op_type == "Constant":
                constants[node.output[0]] = _constant_of(node)
            result = _CONSTANT
            if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
                raise NotProvenError(f"{node.op_type} holds a graph of its own")
        elif node.op_type == "Shape" or all(kind != _BATCHED for kind in kinds):
            result = _SHAPE  # computed from the shape alone: only Reshape may use it
        else:
            _check(node, state, shapes, constants, opset)
            if node.op_type == "Reshape":
                _free_reshape(node, graph, shapes)
            result = _BATCHED
        state |= dict.fromkeys(node.output, result)
    for port in graph.output:
        if state.get(port.name) != _BATCHED:
            raise NotProvenError(f"output {port.name!r} does not depend on the picture")
    for port in (*graph.output, *(item for item in graph.input if item.name == source)):
        dims = port.type.tensor_type.shape.dim
        if dims:
            dims[0].ClearField("dim_value")
            dims[0].dim_param = BATCH
    del graph.value_info[:]
    drop_dead(graph)
    model.CopyFrom(copy)


def loop_over_batch(model: onnx.ModelProto, source: str, output: str, sample: Sequence[int]) -> None:
    """Makes `model`, for one picture of shape `sample` (without the batch) in `source`, the body of a Loop,
    in place.

    Afterwards `source` is [N, *sample] and `output`, one vector of K values a picture, is [N, K].
    """
    graph = model.graph
    weights = list(graph.initializer)
    body_nodes = [
        helper.make_node("Gather", [source, "edgenode/turn"], ["edgenode/picture"], axis=0),
        helper.make_node("Reshape", ["edgenode/picture", "edgenode/one"], ["edgenode/single"]),
        *graph.node,
        helper.make_node("Reshape", [output, "edgenode/flat"], ["edgenode/row"]),
        helper.make_node("Identity", ["edgenode/go"], ["edgenode/go_on"]),
    ]
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == source:
                node.input[index] = "edgenode/single"
    body_nodes[2:-2] = graph.node
    body = helper.make_graph(
        body_nodes,
        "one_picture",
        [
            helper.make_tensor_value_info("edgenode/turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("edgenode/go", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("edgenode/go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("edgenode/row", TensorProto.FLOAT, [None]),
        ],
    )
    rows = f"{output}_rows"
    outside = [
        helper.make_node("Shape", [source], ["edgenode/shape"]),
        helper.make_node("Gather", ["edgenode/shape", "edgenode/zero"], ["edgenode/count"], axis=0),
        helper.make_node("Loop", ["edgenode/count", "edgenode/yes"], [rows], body=body),
    ]
    added = [
        numpy_helper.from_array(np.array([1, *sample], dtype=np.int64), "edgenode/one"),
        numpy_helper.from_array(np.array([-1], dtype=np.int64), "edgenode/flat"),
        numpy_helper.from_array(np.array(0, dtype=np.int64), "edgenode/zero"),
        numpy_helper.from_array(np.array(True), "edgenode/yes"),
    ]
    source_port = next(port for port in graph.input if port.name == source)
    element = source_port.type.tensor_type.elem_type
    looped = helper.make_graph(
        outside,
        graph.name or "looped",
        [helper.make_tensor_value_info(source, element, [BATCH, *sample])],
        [helper.make_tensor_value_info(rows, TensorProto.FLOAT, [BATCH, None])],
        [*weights, *added],
    )
    model.graph.CopyFrom(looped)


def drop_dead(graph: onnx.GraphProto) -> None:
    """Removes nodes and initialisers that lead to no output."""
    needed = {port.name for port in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(name in needed for name in node.output):
            kept.append(node)
            needed |= set(node.input) | _names_inside(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    nodes = kept[::-1]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)


def _names_inside(node: onnx.NodeProto) -> set[str]:
    names: set[str] = set()
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                names |= set(inner.input) | _names_inside(inner)
            names |= {port.name for port in graph.output}
    return names


def _static_shapes(model: onnx.ModelProto, source: str) -> Shapes:
    """Shapes of all tensors for the batch of 1, read off one run with every tensor as an output.

    The operators accepted here have shapes that follow from shapes alone, so one run tells all. (ONNX's own
    shape inference gives up on some Reshapes whose target the graph computes.)
    """
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:], shown.graph.value_info[:]
    names = [name for node in model.graph.node for name in node.output if name]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    kind = next(port for port in model.graph.input if port.name == source).type.tensor_type
    picture = np.zeros(
        [dim.dim_value for dim in kind.shape.dim], dtype=helper.tensor_dtype_to_np_dtype(kind.elem_type)
    )
    values = open_session(shown.SerializeToString(), 1, "cpu", "the graph").run(names, {source: picture})
    shapes = {name: tuple(value.shape) for name, value in zip(names, values, strict=True)}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return shapes | {source: tuple(picture.shape)}


def _check(
    node: onnx.NodeProto, state: Mapping[str, str], shapes: Shapes, constants: Mapping[str, Any], opset: int
) -> None:
    """Raises NotProvenError unless `node` keeps the samples apart and the batch in front."""
    kind = node.op_type
    batched = [name for name in node.input if state.get(name) == _BATCHED]
    others = [name for name in node.input if name and state.get(name) != _BATCHED]
    first = node.input[0]

    def need(condition: bool) -> None:
        if not condition:
            raise NotProvenError(f"{kind} {node.name or node.output[0]!r} may mix pictures")

    def shape(name: str) -> tuple[int, ...]:
        need(name in shapes)
        return shapes[name]

    def values(index: int, attribute: str) -> list[Any] | None:
        """A list that stands in an attribute or, in newer operator sets, in a constant input."""
        given = _attribute(node, attribute)
        if given is None and len(node.input) > index and node.input[index]:
            need(node.input[index] in constants)
            given = np.asarray(constants[node.input[index]]).reshape(-1).tolist()
        return None if given is None else list(given)

    if kind != "Reshape":
        need(all(state.get(name, _CONSTANT) == _CONSTANT for name in others))
    if kind in _FIRST_ALONE:
        need(batched == [first] and len([name for name in node.output if name]) == 1)
    elif kind == "Gemm":
        need(batched == [first] and not _attribute(node, "transA"))
        need(all(len(shape(name)) < 2 or shape(name)[0] == 1 for name in node.input[2:]))
    elif kind == "MatMul":
        need(batched == [first] and len(shape(first)) >= 2 and len(shape(node.input[1])) == 2)
    elif kind in _BROADCAST:
        rank = len(shape(node.output[0]))
        need(all(len(shape(name)) == rank for name in batched))
        need(all(len(shape(name)) < rank or shape(name)[0] == 1 for name in others))
    elif kind in ("Concat", "Split"):
        axis = _attribute(node, "axis") or 0
        need(axis % len(shape(first)) != 0 and (kind == "Split" or not others))
    elif kind in ("Softmax", "LogSoftmax", "Hardmax"):
        axis = _attribute(node, "axis")
        axis = (1 if opset < 13 else -1) if axis is None else axis
        need(axis % len(shape(first)) != 0)
    elif kind == "Transpose":
        need((_attribute(node, "perm") or [1])[0] == 0)
    elif kind == "Flatten":
        axis = _attribute(node, "axis")
        need(axis in (None, 1))
    elif kind == "Reshape":
        before, after = shape(first), shape(node.output[0])
        need(len(after) > 0 and before[0] == 1 and after[0] == 1 and prod(before[1:]) == prod(after[1:]))
    elif kind in ("Squeeze", "Unsqueeze") or kind in _REDUCE:
        axes = values(1, "axes")
        need(bool(axes))
        rank = len(shape(node.output[0] if kind == "Unsqueeze" else first))
        need(all(int(axis) % rank != 0 for axis in axes or []))
    elif kind == "Pad":
        pads = values(1, "pads")
        rank = len(shape(first))
        need(pads is not None and len(pads) == 2 * rank and pads[0] == 0 and pads[rank] == 0)
    elif kind == "Slice":
        axes = values(3, "axes")
        need(axes is not None and all(int(axis) % len(shape(first)) != 0 for axis in axes))
    elif kind in ("Resize", "Upsample"):
        scales = values(1 if kind == "Upsample" or len(node.input) == 2 else 2, "scales")
        need(bool(scales) and scales is not None and float(scales[0]) == 1.0)
    else:
        need(False)


def _free_reshape(node: onnx.NodeProto, graph: onnx.GraphProto, shapes: Shapes) -> None:
    """Gives a Reshape a constant of its own with the batch left open."""
    name = f"{node.output[0]}/free_shape"
    target = np.array([-1, *shapes[node.output[0]][1:]], dtype=np.int64)
    graph.initializer.append(numpy_helper.from_array(target, name))
    node.input[1] = name


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), None)


def _constant_of(node: onnx.NodeProto) -> Any:
    for item in node.attribute:
        value = helper.get_attribute_value(item)
        return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    return np.zeros(0)
