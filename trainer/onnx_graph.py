"""Small operations on ONNX graphs that exporting and quantising share."""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from edgenode.inference.card import METADATA_KEY, ModelCard, parse_card


def pool_globally(model: onnx.ModelProto) -> None:
    """Turns every mean over rows and columns into GlobalAveragePool.

    The exporter writes ReduceMean, which onnxruntime neither keeps in its blocked layout nor quantises.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) < 2 or node.input[1] not in constants:
            nodes.append(node)
            continue
        keep = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        axes = sorted(numpy_helper.to_array(constants[node.input[1]]).tolist())
        if axes not in ([2, 3], [-2, -1]) or keep:
            nodes.append(node)
            continue
        pooled = f"{node.output[0]}_pooled"
        nodes.append(helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], f"{node.name}_pool"))
        nodes.append(helper.make_node("Flatten", [pooled], [node.output[0]], f"{node.name}_flat", axis=1))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused(model)


def drop_unused(model: onnx.ModelProto) -> None:
    """Removes initializers that no node reads any more."""
    used = {name for node in model.graph.node for name in node.input} | {o.name for o in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def strip(model: onnx.ModelProto) -> None:
    """Removes what an exporter tells about the machine it ran on (stack traces with paths), and its name."""
    model.doc_string = ""
    model.producer_name, model.producer_version = "edgenode-trainer", ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        value.doc_string = ""
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]


def card_of(model: onnx.ModelProto, where: str) -> ModelCard | None:
    """The card inside `model`, or None. Raises ModelError where it is not valid."""
    text = next((item.value for item in model.metadata_props if item.key == METADATA_KEY), None)
    return parse_card(text, where) if text is not None else None


def before_nth(model: onnx.ModelProto, kinds: frozenset[str], nth: int) -> list[str]:
    """Names of the nodes that come before the `nth` node (from 1) of one of `kinds`."""
    names = []
    for node in model.graph.node:  # in topological order, as ONNX demands
        nth -= node.op_type in kinds
        if nth == 0:
            break
        names.append(node.name)
    return names


def kinds_between(model: onnx.ModelProto, kinds: frozenset[str], nth: int) -> set[str]:
    """Operators of the nodes that come before the `nth` node of one of `kinds`."""
    names = set(before_nth(model, kinds, nth))
    return {node.op_type for node in model.graph.node if node.name in names}


def last_of(model: onnx.ModelProto, kinds: frozenset[str]) -> str | None:
    """Name of the last node of one of `kinds`."""
    return next((node.name for node in reversed(model.graph.node) if node.op_type in kinds), None)
