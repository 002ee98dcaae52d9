"""The outline of an ONNX file: right on real files, a ModelError and nothing else on anything malformed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgenode.errors import ModelError
from edgenode.inference import onnx_file, wire
from edgenode.inference.card import METADATA_KEY
from edgenode.inference.onnx_file import (
    Port,
    file_sha256,
    parse_onnx,
    read_card,
    read_model_bytes,
    read_onnx,
)
from tests.models import Tiny, make_card, make_model, model_bytes

VALID = model_bytes(Tiny(trips=3, embedding=True))


def test_card_and_ports_are_what_was_written(tmp_path: Path) -> None:
    tiny = Tiny(labels=("a", "b", "c"), height=5, width=7, color="grey", embedding=True, trips=2)
    path = tmp_path / "model.onnx"
    path.write_bytes(model_bytes(tiny))

    outline = read_onnx(path)

    assert read_card(path) == make_card(tiny)
    assert outline.inputs == (Port("images", "uint8", ("N", 5, 7, 1)),)
    assert [port.name for port in outline.outputs] == ["probabilities", "embedding"]
    assert outline.opsets == {"": 18}
    assert outline.ir_version == 9
    assert outline.producer == "tests"
    assert outline.size_bytes == path.stat().st_size
    assert outline.operators["Loop"] == 1
    assert outline.operators["Sin"] == 1, "operators of subgraphs count"
    assert outline.external_data == ()
    assert str(outline.inputs[0]) == "images uint8 [N, 5, 7, 1]"


def test_hash_is_of_the_whole_file(tmp_path: Path) -> None:
    path = make_model(tmp_path / "model.onnx")
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_same_outline_as_the_onnx_package_on_real_models(shared_data: Path) -> None:
    paths = sorted((shared_data / "models").rglob("*.onnx"))
    assert paths
    for path in paths:
        model = onnx.load(path)
        outline = read_onnx(path)
        initialised = {tensor.name for tensor in model.graph.initializer}
        assert [p.name for p in outline.inputs] == [
            p.name for p in model.graph.input if p.name not in initialised
        ]
        assert [p.name for p in outline.outputs] == [p.name for p in model.graph.output]
        assert outline.opsets == {opset.domain: opset.version for opset in model.opset_import}
        assert sum(outline.operators.values()) == len(model.graph.node)
        for port, info in zip(outline.outputs, model.graph.output, strict=True):
            dims = info.type.tensor_type.shape.dim
            assert port.dims == tuple(d.dim_param if d.HasField("dim_param") else d.dim_value for d in dims)
        with pytest.raises(ModelError, match="edgenode-trainer import"):
            read_card(path)


@pytest.mark.parametrize("where", ["training", "nested", "tensors", "location_only", "huge_location"])
def test_external_data_is_found_wherever_it_hides(where: str) -> None:
    model = onnx.load_from_string(model_bytes(Tiny()))
    tensor = numpy_helper.from_array(np.zeros(2, dtype=np.float32), "hidden")
    tensor.ClearField("raw_data")
    if where != "huge_location":
        tensor.data_location = TensorProto.EXTERNAL
    if where not in ("location_only", "huge_location"):
        tensor.external_data.add(key="location", value="x.bin")
    node = helper.make_node("Constant", [], ["hidden"], value=tensor)
    if where == "training":
        model.training_info.add().algorithm.node.append(node)
    elif where == "nested":
        graph = helper.make_graph([node], "inner", [], [])
        for _ in range(5):
            graph = helper.make_graph(
                [helper.make_node("If", ["c"], ["o"], then_branch=graph)], "outer", [], []
            )
        model.graph.node.extend(graph.node)
    elif where == "tensors":
        attribute = onnx.AttributeProto(name="many", type=onnx.AttributeProto.TENSORS)
        attribute.tensors.append(tensor)
        model.graph.node[0].attribute.append(attribute)
    else:
        model.graph.initializer.append(tensor)
    data = model.SerializeToString()
    if where == "huge_location":  # an enumeration is cut to 32 bits by protobuf: 2^32 + 1 is EXTERNAL
        wrong = tensor.SerializeToString()
        right = wrong + bytes([14 << 3, 0x81, 0x80, 0x80, 0x80, 0x10])
        assert onnx.TensorProto.FromString(right).data_location == TensorProto.EXTERNAL
        model.graph.initializer.pop()
        field = bytes([5 << 3 | 2, len(right)]) + right
        graph_bytes = model.graph.SerializeToString() + field
        model.ClearField("graph")
        data = model.SerializeToString() + _field(7, graph_bytes)
    assert parse_onnx(data, "x").external_data == ("hidden",)


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_a_graph_in_two_pieces_is_one_graph() -> None:
    """protobuf merges a message that stands twice: half of it must not be hidden from the check."""
    spoilt = onnx.load_from_string(model_bytes(Tiny(defect="external_initializer")))
    hidden = onnx.ModelProto()
    hidden.graph.initializer.append(next(t for t in spoilt.graph.initializer if t.name == "weight"))
    data = model_bytes(Tiny()) + hidden.SerializeToString()
    assert len(onnx.load_from_string(data).graph.initializer) == 5
    assert parse_onnx(data, "x").external_data == ("weight",)


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    with path.open("wb") as stream:
        stream.truncate(3 * 2**20 + 1)
    with pytest.raises(ModelError, match="over the limit of 3 MiB"):
        read_model_bytes(path, limit_bytes=3 * 2**20)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device"])
def test_what_cannot_be_read_is_a_model_error_with_its_path(tmp_path: Path, kind: str) -> None:
    path = {"folder": tmp_path, "device": Path("/dev/zero")}.get(kind, tmp_path / "model.onnx")
    if kind == "pipe":
        os.mkfifo(path)
    for read in (read_card, read_onnx, file_sha256):
        with pytest.raises(ModelError, match=str(path)):
            read(path)


def test_graphs_nested_too_deep_are_refused() -> None:
    graph = b""
    for _ in range(40):
        graph = _field(1, _field(5, _field(6, graph)))
    with pytest.raises(ModelError, match="inside one another"):
        parse_onnx(_field(7, graph), "deep")


def test_too_many_fields_are_refused_before_they_cost_time() -> None:
    data = b"\x08\x01" * 101
    assert len(list(wire.fields(data, 0, len(data), wire.Budget("many", fields_left=101)))) == 101
    with pytest.raises(ModelError, match="fields"):
        list(wire.fields(data, 0, len(data), wire.Budget("many", fields_left=100)))


def refusal_of(data: bytes) -> str | None:
    """Why `data` is refused, or None; any exception but ModelError passes through and fails the test."""
    try:
        onnx_file.card_of(parse_onnx(data, "fuzz"), "fuzz")
    except ModelError as error:
        return str(error)
    return None


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=400))
@example(b"\x08" + b"\xff" * 11)
@example(b"\x3a\xff\xff\xff\xff\x0f")
@example(b"\x3b\x3c")
def test_any_bytes_are_an_outline_or_a_model_error(data: bytes) -> None:
    refusal = refusal_of(data)
    assert refusal is None or refusal.startswith("fuzz: ")


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_any_mutation_is_an_outline_or_a_model_error(data: st.DataObject) -> None:
    mutated = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        kind = data.draw(st.sampled_from(["set", "delete", "insert", "cut"]))
        if kind == "set":
            mutated[at] = data.draw(st.integers(0, 255))
        elif kind == "delete":
            del mutated[at : at + data.draw(st.integers(1, 8))]
        elif kind == "insert":
            mutated[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        else:
            del mutated[max(1, at) :]
        if not mutated:
            break
    refusal = refusal_of(bytes(mutated))
    assert refusal is None or refusal.startswith("fuzz: ")


def test_the_card_is_found_under_its_key_alone() -> None:
    model = onnx.load_from_string(model_bytes(Tiny()))
    model.metadata_props.add(key="other", value="text")
    outline = parse_onnx(model.SerializeToString(), "x")
    assert [key for key, _ in outline.metadata] == [METADATA_KEY, "other"]
    assert onnx_file.card_of(outline, "x").name == "tiny"
