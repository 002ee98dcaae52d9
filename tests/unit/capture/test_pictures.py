"""Still pictures: what is decoded and how, and what is refused."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.capture.picture_header import picture_size
from edgenode.capture.pictures import decode_picture
from edgenode.capture.snapshot import encode_snapshot
from edgenode.errors import PictureError
from edgenode.records import U8
from tests.clips import jpeg, numbered

PICTURE = numbered(7, 96, 64)
"""Red is at the bottom left side of the middle: see `numbered`."""


def encoded(suffix: str, picture: U8 | np.ndarray[tuple[int, ...], np.dtype[np.uint16]] = PICTURE) -> bytes:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 and picture.shape[2] == 3 else picture
    ok, data = cv2.imencode(suffix, bgr)
    assert ok
    return data.tobytes()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp"])
def test_lossless_pictures_come_back_exactly_in_rgb(suffix: str) -> None:
    data = encoded(suffix)
    assert picture_size(data) == (96, 64)
    decoded = decode_picture(data)
    tolerance = 40 if suffix == ".webp" else 0
    assert np.abs(decoded.astype(int) - PICTURE.astype(int)).max() <= tolerance


def test_a_png_whose_chunk_claims_two_gigabytes_is_refused_before_it_is_decoded() -> None:
    """OpenCV would allocate them: 2.1 GB and seconds for 8 kB of a damaged picture."""
    data = bytearray(encoded(".png"))
    at = bytes(data).index(b"IDAT") - 4
    data[at : at + 4] = struct.pack(">I", 0x7F000000)
    with pytest.raises(PictureError, match="cut off"):
        decode_picture(bytes(data))
    with pytest.raises(PictureError, match="cut off"):
        decode_picture(encoded(".png")[:-4])


def test_a_jpeg_is_rgb_not_bgr() -> None:
    red = np.zeros((16, 16, 3), dtype=np.uint8)
    red[..., 0] = 250
    assert decode_picture(jpeg(red))[8, 8].tolist()[0] > 240


def with_orientation(data: bytes, orientation: int) -> bytes:
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_exif_orientation_turns_the_picture_upright(orientation: int, turns: int) -> None:
    data = jpeg(PICTURE, 100)
    upright = decode_picture(data)
    turned = decode_picture(with_orientation(data, orientation))
    np.testing.assert_array_equal(turned, np.rot90(upright, turns))


def test_sixteen_bits_keep_the_upper_eight() -> None:
    deep = (PICTURE.astype(np.uint16) << 8) | 0x7F
    np.testing.assert_array_equal(decode_picture(encoded(".png", deep)), PICTURE)


def test_transparency_is_dropped() -> None:
    alpha = np.dstack([PICTURE[..., ::-1], np.full(PICTURE.shape[:2], 10, np.uint8)])
    np.testing.assert_array_equal(decode_picture(encoded(".png", alpha)), PICTURE)


def test_grey_is_repeated() -> None:
    grey = PICTURE[..., 0].copy()
    np.testing.assert_array_equal(decode_picture(encoded(".png", grey)), np.dstack([grey] * 3))


def png(width: int, height: int, body: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JPEG"),
        (b"hello, this is text", "no JPEG"),
        (b"GIF89a" + bytes(50), "no JPEG"),
        (jpeg(PICTURE)[:-40], "cut off"),
        (jpeg(PICTURE)[:30], "cut off"),
        (b"\xff\xd8\xff\xd9", "names no size"),
        (encoded(".png")[:20], "cut off"),
        (encoded(".png")[:60], "cut off"),
        (encoded(".webp")[:-10], "cut off"),
        (png(60000, 60000, zlib.compress(bytes(60000), 9)), "60000×60000"),
        (png(0, 5), "0×5"),
    ],
)
def test_what_is_no_whole_picture_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(PictureError, match=words):
        decode_picture(data)


@given(
    st.binary(max_size=64),
    st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF"]),
)
def test_no_bytes_do_anything_but_raise_picture_error(data: bytes, magic: bytes) -> None:
    with pytest.raises(PictureError):
        decode_picture(magic + data)


@given(st.data())
def test_damaged_jpegs_decode_or_are_refused(data: st.DataObject) -> None:
    picture = bytearray(jpeg(PICTURE))
    for _ in range(data.draw(st.integers(1, 8))):
        picture[data.draw(st.integers(2, len(picture) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_picture(bytes(picture))
    except PictureError:
        return
    assert decoded.ndim == 3
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize("limit", [256 * 1024, 20_000, 2_000])
def test_a_snapshot_fits_its_limit_and_carries_no_metadata(limit: int) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    data = encode_snapshot(noise, limit)
    assert len(data) <= limit
    assert b"Exif" not in data
    decoded = decode_picture(data)
    assert decoded.shape[1] / decoded.shape[0] == pytest.approx(16 / 9, rel=0.1)


def test_a_snapshot_that_fits_keeps_size_and_colour() -> None:
    decoded = decode_picture(encode_snapshot(PICTURE))
    assert decoded.shape == PICTURE.shape
    assert np.abs(decoded.astype(int) - PICTURE.astype(int)).mean() < 12.0


def test_a_limit_that_nothing_fits_is_an_error() -> None:
    with pytest.raises(PictureError, match="no picture fits"):
        encode_snapshot(PICTURE, 10)
