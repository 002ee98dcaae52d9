"""The kind and size of a picture, read from its first bytes before anything is decoded."""

from __future__ import annotations

import struct

from edgenode.errors import PictureError

MAX_SCANS = 100
"""A progressive JPEG has about ten. One of 95 bytes takes a decoder 0.05 s of a picture of 64 million pixels, so that
a file of 16 MB could keep a thread busy for hours."""
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_TIFF_SIZES = {3: "H", 4: "I"}


def picture_size(data: bytes) -> tuple[int, int]:
    """(width, height) as stored, before any rotation. Raises PictureError: not JPEG, PNG, BMP, WebP or TIFF,
    cut off inside the header, or a JPEG or PNG without its end."""
    try:
        return _size(data)
    except (struct.error, IndexError, KeyError):
        raise PictureError("the picture's header is damaged or cut off") from None


def _size(data: bytes) -> tuple[int, int]:
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", data, 18)
        return width, abs(height)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    raise PictureError("this is no JPEG, PNG, BMP, WebP or TIFF picture")


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    while True:
        if data[at] != 0xFF:
            raise PictureError("the JPEG's segments are damaged")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in _SOF:
            height, width = struct.unpack_from(">HH", data, at + 5)
            if data.find(b"\xff\xd9", at) < 0:  # decoders fill what is missing with grey and call it good
                raise PictureError("the JPEG is cut off before its end")
            if data.count(b"\xff\xda", at) > MAX_SCANS:
                raise PictureError(f"the JPEG has more than {MAX_SCANS} scans")
            return width, height
        elif marker in (0xD9, 0xDA):
            raise PictureError("the JPEG names no size")
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            at += 2 + length


def _png(data: bytes) -> tuple[int, int]:
    at = 8
    while True:  # a chunk that claims 2 GB makes the decoder allocate them
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        at += 12 + length
        if at > len(data):
            raise PictureError("the PNG is cut off before its end")
        if kind == b"IEND":
            break
    if data[12:16] != b"IHDR":
        raise PictureError("the PNG's header is damaged")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _webp(data: bytes) -> tuple[int, int]:
    if len(data) < 8 + struct.unpack_from("<I", data, 4)[0]:
        raise PictureError("the WebP is cut off before its end")
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return width, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    found: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in (256, 257):
            (found[tag],) = struct.unpack_from(order + _TIFF_SIZES[kind], data, entry + 8)
    return found[256], found[257]
