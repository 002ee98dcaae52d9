"""The many ways in which a model file can be wrong: each entry spoils the default file of `tests.models`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgenode.inference.card import ModelCard


def _card_text(model: onnx.ModelProto, change: Callable[[str], str]) -> None:
    model.metadata_props[0].value = change(model.metadata_props[0].value)


def _replace(old: str, new: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        text = model.metadata_props[0].value
        assert old in text, f"{old} is not in the card"
        model.metadata_props[0].value = text.replace(old, new, 1)

    return change


def _golden_wrong(model: onnx.ModelProto) -> None:
    card = ModelCard.model_validate_json(model.metadata_props[0].value)
    rows = [row[::-1] for row in card.golden.probabilities]
    golden = card.golden.model_copy(update={"probabilities": rows})
    model.metadata_props[0].value = card.model_copy(update={"golden": golden}).to_json()


def _golden_hash(model: onnx.ModelProto) -> None:
    card = ModelCard.model_validate_json(model.metadata_props[0].value)
    golden = card.golden.model_copy(update={"input_sha256": "0" * 64})
    model.metadata_props[0].value = card.model_copy(update={"golden": golden}).to_json()


def _make_external(tensor: onnx.TensorProto, location: str = "weights.bin") -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def _initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def _external_constant(name: str = "outside") -> onnx.NodeProto:
    tensor = numpy_helper.from_array(np.zeros(4, dtype=np.float32), name)
    _make_external(tensor)
    return helper.make_node("Constant", [], [name], value=tensor)


def _external_in_subgraph(model: onnx.ModelProto) -> None:
    yes = helper.make_graph(
        [_external_constant()], "yes", [], [helper.make_tensor_value_info("outside", TensorProto.FLOAT, [4])]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "choice"))
    model.graph.node.append(helper.make_node("If", ["choice"], ["chosen"], then_branch=yes, else_branch=yes))


def _external_in_function(model: onnx.ModelProto) -> None:
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(
        helper.make_function("local", "Hidden", [], ["outside"], [_external_constant()], opset)
    )
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.graph.node.append(helper.make_node("Hidden", [], ["hidden"], domain="local"))


def _external_in_sparse(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, dtype=np.float32), "sparse")
    indices = numpy_helper.from_array(np.zeros(1, dtype=np.int64), "sparse_at")
    _make_external(values)
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def _input_shape(*dims: int | str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", TensorProto.UINT8, list(dims)))

    return change


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new
    for port in [*model.graph.input, *model.graph.output]:
        if port.name == old:
            port.name = new


def _input_float(model: onnx.ModelProto) -> None:
    shape = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", TensorProto.FLOAT, shape))


def _second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def _final(
    *nodes: onnx.NodeProto, elem: int = TensorProto.FLOAT, dims: Sequence[int | str] | None = None
) -> Callable:
    """Nodes between `before` (what the network answered) and `probabilities`."""

    def change(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            for i, name in enumerate(node.output):
                if name == "probabilities":
                    node.output[i] = "before"
        model.graph.node.extend(nodes)
        if dims is not None:
            model.graph.output[0].CopyFrom(helper.make_tensor_value_info("probabilities", elem, list(dims)))

    return change


def _constant(name: str, value: object, dtype: type = np.float32) -> onnx.NodeProto:
    return helper.make_node(
        "Constant", [], [name], value=numpy_helper.from_array(np.array(value, dtype=dtype), name)
    )


def _node(op: str, *inputs: str, to: str = "probabilities", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [to], **attributes)


def _embedding_rank(model: onnx.ModelProto) -> None:
    model.graph.node.append(_node("ReduceSum", "scaled", to="embedding", keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, []))


def _opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 9999


def _unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Teleport"


def _dangling(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nowhere"


def _no_card(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def _two_cards(model: onnx.ModelProto) -> None:
    model.metadata_props.add().CopyFrom(model.metadata_props[0])


def _rows_mixed(model: onnx.ModelProto) -> None:
    """Each row is answered relative to the batch's largest; the golden vector, as a batch, is right."""
    _final(
        _constant("first", [0], np.int64),
        _node("ReduceMax", "before", "first", to="most", keepdims=1),
        _node("Sub", "before", "most", to="mixed"),
        _node("Softmax", "mixed", axis=1),
    )(model)
    card = ModelCard.model_validate_json(model.metadata_props[0].value)
    rows = np.array(card.golden.probabilities)
    powers = np.exp(rows - rows.max(axis=0))
    answers = (powers / powers.sum(axis=1, keepdims=True)).tolist()
    golden = card.golden.model_copy(update={"probabilities": answers})
    model.metadata_props[0].value = card.model_copy(update={"golden": golden}).to_json()


GRAPH_DEFECTS: dict[str, Callable[[onnx.ModelProto], None]] = {
    "no_card": _no_card,
    "two_cards": _two_cards,
    "card_not_json": lambda model: _card_text(model, lambda text: text[:-10]),
    "card_unknown_key": _replace('{"card_version"', '{"surprise":1,"card_version"'),
    "card_newer": _replace('"card_version":1', '"card_version":3'),
    "card_label_missing": _replace('"labels":["dark","bright"]', '"labels":["dark","bright","third"]'),
    "card_other_height": _replace('"height":8', '"height":9'),
    "card_other_color": _replace('"color":"rgb"', '"color":"grey"'),
    "golden_wrong": _golden_wrong,
    "golden_input_hash": _golden_hash,
    "weights_changed": lambda model: _initializer(model, "weight").CopyFrom(
        numpy_helper.from_array(np.zeros((3, 2), dtype=np.float32), "weight")
    ),
    "external_initializer": lambda model: _make_external(_initializer(model, "weight")),
    "external_parent": lambda model: _make_external(_initializer(model, "weight"), "../weights.bin"),
    "external_absolute": lambda model: _make_external(_initializer(model, "weight"), "/etc/hostname"),
    "external_attribute": lambda model: model.graph.node.append(_external_constant()),
    "external_subgraph": _external_in_subgraph,
    "external_function": _external_in_function,
    "external_sparse": _external_in_sparse,
    "input_name": lambda model: _rename(model, "images", "pictures"),
    "input_float": _input_float,
    "input_channels_first": _input_shape("N", 3, 8, 8),
    "input_fixed_batch": _input_shape(1, 8, 8, 3),
    "input_free_height": _input_shape("N", "H", 8, 3),
    "input_rank": _input_shape("N", 192),
    "second_input": _second_input,
    "output_name": lambda model: _rename(model, "probabilities", "scores"),
    "output_double": _final(
        helper.make_node("Cast", ["before"], ["probabilities"], to=TensorProto.DOUBLE),
        elem=TensorProto.DOUBLE,
        dims=["N", 2],
    ),
    "output_labels": _final(_node("Concat", "before", "before", axis=1), dims=["N", 4]),
    "output_labels_hidden": _final(_node("Concat", "before", "before", axis=1), dims=["N", "K"]),
    "output_rank": _final(
        _constant("axis", [2], np.int64), _node("Unsqueeze", "before", "axis"), dims=["N", 2, 1]
    ),
    "embedding_rank": _embedding_rank,
    "sum_not_one": _final(_constant("half", 0.5), _node("Mul", "before", "half")),
    "over_one": _final(_constant("two", 2.0), _node("Mul", "before", "two")),
    "always_nan": _final(
        _constant("minus", -1.0), _node("Sqrt", "minus", to="nan"), _node("Add", "before", "nan")
    ),
    "rows_mixed": _rows_mixed,
    "opset_unknown": _opset,
    "operator_unknown": _unknown_operator,
    "dangling_input": _dangling,
}

BYTE_DEFECTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "not_protobuf": lambda data: b"<html>404 not found</html>" * 20,
    "truncated": lambda data: data[: len(data) * 2 // 3],
    "card_not_utf8": lambda data: data.replace(b"made by the tests", b"made by the tes\xff\xfe"),
    "zeroed_tail": lambda data: data[:-64] + bytes(64),
    "git_lfs_pointer": lambda data: (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\n"
    ),
}

DEFECTS: tuple[str, ...] = (*GRAPH_DEFECTS, *BYTE_DEFECTS)
"""Names for `Tiny.defect`: each gives a file that the node must refuse."""
