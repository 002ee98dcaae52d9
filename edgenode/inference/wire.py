"""Protocol Buffers' wire format, as far as reading an ONNX file needs it.

Encoding: "Protocol Buffers: Encoding", protobuf.dev. The daemon reads files nobody has vouched for yet, so
every malformed byte ends in ModelError, nothing is copied before it is asked for, and the work is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from edgenode.errors import ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

MAX_FIELDS = 1_000_000
"""Fields looked at in one file: a second or two of work. A real model of 500 operators has under 20,000."""


@dataclass(slots=True)
class Budget:
    """How many more fields may be read from one file. `where` begins the text of every error."""

    where: str
    fields_left: int = field(default=MAX_FIELDS)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: `value` is the number of a varint, else 0; `start` to `end` are the bytes of
    a length-delimited one."""

    number: int
    wire_type: int
    value: int
    start: int
    end: int


def read_varint(data: bytes, start: int, end: int, where: str) -> tuple[int, int]:
    """The unsigned 64-bit number at `start` and the offset behind it."""
    result = 0
    for shift in range(0, 70, 7):
        if start >= end:
            raise ModelError(
                f"{where}: not an ONNX file, or cut short: a number runs past its end at byte {start}"
            )
        byte = data[start]
        start += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, start
    raise ModelError(f"{where}: not an ONNX file: a number of more than ten bytes at byte {start}")


def fields(data: bytes, start: int, end: int, budget: Budget) -> Iterator[Field]:
    """The fields of the message in `data[start:end]`, in file order. Raises ModelError on malformed bytes."""
    where = budget.where
    while start < end:
        budget.fields_left -= 1
        if budget.fields_left < 0:
            raise ModelError(f"{where}: more than {MAX_FIELDS} fields: not a model this node will read")
        tag, position = read_varint(data, start, end, where)
        number, wire_type = tag >> 3, tag & 7
        if number == 0 or number >= 1 << 29:
            raise ModelError(f"{where}: not an ONNX file: field number {number} at byte {start}")
        if wire_type == VARINT:
            value, behind = read_varint(data, position, end, where)
            yield Field(number, wire_type, value, position, behind)
        elif wire_type == BYTES:
            length, position = read_varint(data, position, end, where)
            behind = position + length
            if behind > end:
                raise ModelError(
                    f"{where}: not an ONNX file, or cut short: field {number} at byte {start} "
                    f"says {length} bytes, {end - position} are left"
                )
            yield Field(number, wire_type, 0, position, behind)
        elif wire_type in (FIXED64, FIXED32):
            behind = position + (8 if wire_type == FIXED64 else 4)
            if behind > end:
                raise ModelError(f"{where}: not an ONNX file, or cut short: field {number} at byte {start}")
            yield Field(number, wire_type, 0, position, behind)
        else:
            raise ModelError(f"{where}: not an ONNX file: wire type {wire_type} at byte {start}")
        start = behind


def text(data: bytes, item: Field, budget: Budget) -> str:
    """The string in `item`. Raises ModelError where it is no UTF-8 text."""
    if item.wire_type != BYTES:
        raise ModelError(
            f"{budget.where}: not an ONNX file: field {item.number} at byte {item.start} is no text"
        )
    try:
        return data[item.start : item.end].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{budget.where}: text at byte {item.start} is not UTF-8") from error
