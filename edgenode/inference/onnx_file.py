"""What an ONNX file says of itself, read without the `onnx` package and without building a session.

Used by the classifier before onnxruntime sees a byte, by the model store and by `edgenode model inspect`.
Field numbers: onnx/onnx.proto of ONNX 1.23 (they never change).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from edgenode.errors import ModelError
from edgenode.inference import wire
from edgenode.inference.card import METADATA_KEY, ModelCard, parse_card

MAX_FILE_BYTES = 512 * 2**20
"""A larger file is refused unread; a CNN for the edge has 1 to 100 MB."""
MAX_DEPTH = 32
"""Subgraphs inside subgraphs. protobuf itself stops at 100 messages, which is 33 of them."""

_ELEMENT_TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the graph. A dimension is a size, a name, or None where nothing is said;
    `dims` is None where the file gives no shape."""

    name: str
    element_type: str
    dims: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        if self.dims is None:
            return f"{self.name} {self.element_type}"
        return (
            f"{self.name} {self.element_type} [{', '.join('?' if d is None else str(d) for d in self.dims)}]"
        )


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """The outline of one file."""

    size_bytes: int
    ir_version: int
    producer: str
    opsets: Mapping[str, int]
    """Operator set domain ("" is ONNX's own) to version."""
    inputs: tuple[Port, ...]
    """Without those that an initialiser fills."""
    outputs: tuple[Port, ...]
    operators: Mapping[str, int]
    """How often each operator stands in the graph, its subgraphs and its functions."""
    parameter_bytes: int
    """Size of the initialisers' data as stored."""
    metadata: tuple[tuple[str, str], ...]
    external_data: tuple[str, ...]
    """Where the file points outside itself: the names of the tensors."""


@dataclass(slots=True)
class _Found:
    """What the walk over one file has collected so far."""

    budget: wire.Budget
    ir_version: int = 0
    producer: list[str] = field(default_factory=lambda: ["", ""])
    opsets: dict[str, int] = field(default_factory=dict)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    initialised: set[str] = field(default_factory=set)
    operators: Counter[str] = field(default_factory=Counter)
    parameter_bytes: int = 0
    metadata: list[tuple[str, str]] = field(default_factory=list)
    external: list[str] = field(default_factory=list)
    has_graph: bool = False


def read_model_bytes(path: Path, limit_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The whole file, read once: what is checked is what is loaded. Raises ModelError."""
    with _reading(path) as stream:
        data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ModelError(f"{path}: over the limit of {limit_bytes // 2**20} MiB for a model file")
    if not data:
        raise ModelError(f"{path}: the file is empty")
    if data.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path}: this is a Git LFS pointer, not the model; fetch it with `git lfs pull`")
    return data


def file_sha256(path: Path) -> str:
    """Lower-case hexadecimal SHA-256 of the file, read in pieces. Raises ModelError."""
    with _reading(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _reading(path: Path) -> Iterator[BufferedReader]:
    """`path` open for reading, if it is a regular file: a pipe could keep a node waiting for ever."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ModelError(f"{path}: is no regular file")
            yield stream
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_card(path: Path) -> ModelCard:
    """The model card in the file. Raises ModelError; proves nothing about the graph."""
    return card_of(parse_onnx(read_model_bytes(path), str(path)), str(path))


def read_onnx(path: Path) -> OnnxFile:
    """The outline of the file. Raises ModelError."""
    return parse_onnx(read_model_bytes(path), str(path))


def card_of(outline: OnnxFile, where: str) -> ModelCard:
    """The card among the outline's metadata. Raises ModelError where there is none, two, or a wrong one."""
    cards = [value for key, value in outline.metadata if key == METADATA_KEY]
    if not cards:
        raise ModelError(
            f"{where}: holds no model card ({METADATA_KEY}); turn a foreign ONNX file into an edgenode model "
            "with `edgenode-trainer import`"
        )
    if len(cards) > 1:
        raise ModelError(f"{where}: holds {len(cards)} model cards; it must hold one")
    return parse_card(cards[0], where)


def parse_onnx(data: bytes, where: str) -> OnnxFile:
    """The outline of the ModelProto in `data`. Raises ModelError and nothing else, whatever the bytes are."""
    found = _Found(wire.Budget(where))
    _model(data, found)
    if not found.has_graph:
        raise ModelError(f"{where}: not an ONNX model: it holds no graph")
    return OnnxFile(
        size_bytes=len(data),
        ir_version=found.ir_version,
        producer=" ".join(part for part in found.producer if part),
        opsets=found.opsets,
        inputs=tuple(port for port in found.inputs if port.name not in found.initialised),
        outputs=tuple(found.outputs),
        operators=dict(found.operators.most_common()),
        parameter_bytes=found.parameter_bytes,
        metadata=tuple(found.metadata),
        external_data=tuple(found.external),
    )


def _model(data: bytes, found: _Found) -> None:
    for item in wire.fields(data, 0, len(data), found.budget):
        number = item.number
        if number == 1 and item.wire_type == wire.VARINT:
            found.ir_version = item.value
        elif number in (2, 3):
            found.producer[number - 2] = wire.text(data, item, found.budget)
        elif item.wire_type != wire.BYTES:
            continue
        elif number == 7:
            found.has_graph = True
            _graph(data, item, found, 0)
        elif number == 8:
            _opset(data, item, found)
        elif number == 14:
            found.metadata.append(_entry(data, item, found))
        elif number == 20:
            for part in _messages(data, item, found, 1, 2):
                _graph(data, part, found, 1)
        elif number == 25:
            _function(data, item, found)


def _messages(data: bytes, parent: wire.Field, found: _Found, *numbers: int) -> Iterator[wire.Field]:
    """The embedded messages of `parent` with one of the field `numbers`."""
    for item in wire.fields(data, parent.start, parent.end, found.budget):
        if item.number in numbers and item.wire_type == wire.BYTES:
            yield item


def _graph(data: bytes, graph: wire.Field, found: _Found, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ModelError(f"{found.budget.where}: more than {MAX_DEPTH} graphs inside one another")
    for item in _messages(data, graph, found, 1, 5, 11, 12, 15):
        if item.number == 1:
            _node(data, item, found, depth)
        elif item.number == 5:
            name = _tensor(data, item, found)
            if depth == 0:
                found.initialised.add(name)
        elif item.number == 15:
            _sparse(data, item, found)
        elif depth == 0:
            (found.inputs if item.number == 11 else found.outputs).append(_port(data, item, found))


def _function(data: bytes, function: wire.Field, found: _Found) -> None:
    for item in _messages(data, function, found, 7, 11):
        if item.number == 7:
            _node(data, item, found, 0)
        else:
            _attribute(data, item, found, 0)


def _node(data: bytes, node: wire.Field, found: _Found, depth: int) -> None:
    operator = domain = ""
    for item in _messages(data, node, found, 4, 5, 7):
        if item.number == 4:
            operator = wire.text(data, item, found.budget)
        elif item.number == 7:
            domain = wire.text(data, item, found.budget)
        else:
            _attribute(data, item, found, depth)
    found.operators[f"{domain}.{operator}" if domain else operator] += 1


def _attribute(data: bytes, attribute: wire.Field, found: _Found, depth: int) -> None:
    for item in _messages(data, attribute, found, 5, 6, 10, 11, 22, 23):
        if item.number in (5, 10):
            _tensor(data, item, found)
        elif item.number in (6, 11):
            _graph(data, item, found, depth + 1)
        else:
            _sparse(data, item, found)


def _sparse(data: bytes, sparse: wire.Field, found: _Found) -> None:
    for item in _messages(data, sparse, found, 1, 2):
        _tensor(data, item, found)


def _tensor(data: bytes, tensor: wire.Field, found: _Found) -> str:
    """The tensor's name. Any sign of data outside the file counts: an entry, or a location that is not 0."""
    name = ""
    external = False
    for item in wire.fields(data, tensor.start, tensor.end, found.budget):
        if item.number == 8:
            name = wire.text(data, item, found.budget)
        elif item.number == 13 or (item.number == 14 and item.value != 0):
            external = True
        elif item.number in (4, 5, 6, 7, 9, 10, 11):
            found.parameter_bytes += item.end - item.start
    if external:
        found.external.append(name or "(unnamed)")
    return name


def _opset(data: bytes, opset: wire.Field, found: _Found) -> None:
    domain, version = "", 0
    for item in wire.fields(data, opset.start, opset.end, found.budget):
        if item.number == 1:
            domain = wire.text(data, item, found.budget)
        elif item.number == 2:
            version = item.value
    found.opsets[domain] = version


def _entry(data: bytes, entry: wire.Field, found: _Found) -> tuple[str, str]:
    key = value = ""
    for item in wire.fields(data, entry.start, entry.end, found.budget):
        if item.number == 1:
            key = wire.text(data, item, found.budget)
        elif item.number == 2:
            value = wire.text(data, item, found.budget)
    return key, value


def _port(data: bytes, info: wire.Field, found: _Found) -> Port:
    name, element_type = "", "unknown"
    dims: tuple[int | str | None, ...] | None = None
    for item in _messages(data, info, found, 1, 2):
        if item.number == 1:
            name = wire.text(data, item, found.budget)
            continue
        for tensor_type in _messages(data, item, found, 1):
            for part in wire.fields(data, tensor_type.start, tensor_type.end, found.budget):
                if part.number == 1:
                    element_type = _ELEMENT_TYPES.get(part.value, f"type {part.value}")
                elif part.number == 2 and part.wire_type == wire.BYTES:
                    dims = tuple(_dimension(data, dim, found) for dim in _messages(data, part, found, 1))
    return Port(name, element_type, dims)


def _dimension(data: bytes, dim: wire.Field, found: _Found) -> int | str | None:
    value: int | str | None = None
    for item in wire.fields(data, dim.start, dim.end, found.budget):
        if item.number == 1:
            value = item.value
        elif item.number == 2:
            value = wire.text(data, item, found.budget) or None
    return value
