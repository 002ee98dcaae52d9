"""Cutting MJPEG streams apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.capture.multipart import MultipartReader, boundary_of
from edgenode.errors import SourceError

LIMIT = 100_000


def feed(chunks: Iterable[bytes]) -> Callable[[int], bytes]:
    """`more` that hands out `chunks`, each non-empty, then the end."""
    left = [chunk for chunk in chunks if chunk]
    return lambda _size: left.pop(0) if left else b""


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def all_parts(reader: MultipartReader) -> list[bytes]:
    parts = []
    while (part := reader.next_part()) is not None:
        parts.append(part)
    return parts


BODY = st.binary(min_size=1, max_size=60).map(
    lambda body: b"\xff\xd8" + body.replace(b"--", b"xx") + b"\xff\xd9"
)


@given(
    st.lists(BODY, min_size=1, max_size=6),
    st.lists(st.integers(0, 10_000), max_size=12),
    st.sampled_from([b"\r\n", b"\n"]),
    st.booleans(),
    st.binary(max_size=10),
)
def test_parts_come_out_whole_however_the_network_cuts_the_stream(
    bodies: list[bytes], cuts: list[int], newline: bytes, lengths: bool, preamble: bytes
) -> None:
    stream = preamble + newline
    for body in bodies:
        headers = [b"--frame", b"Content-Type: image/jpeg"]
        if lengths:
            headers.append(b"CONTENT-LENGTH:  %d" % len(body))
        stream += newline.join([*headers, b"", b""]) + body + newline
    stream += b"--frame--" + newline
    reader = MultipartReader(feed(split(stream, cuts)), b"frame", LIMIT)
    assert all_parts(reader) == bodies


@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=5))
def test_garbage_ends_or_is_refused_and_never_hangs(data: bytes, cuts: list[int]) -> None:
    reader = MultipartReader(feed(split(data, cuts)), b"f", 500)
    try:
        all_parts(reader)
    except SourceError:
        return


def test_parts_without_any_header_are_taken() -> None:
    reader = MultipartReader(feed([b"--f\r\n\r\nabc\r\n--f\r\n\r\ndef\r\n--f--\r\n"]), b"f", LIMIT)
    assert all_parts(reader) == [b"abc", b"def"]


def test_a_stream_cut_inside_a_picture_does_not_hand_out_the_half() -> None:
    reader = MultipartReader(feed([b"--f\r\nContent-Length: 10\r\n\r\nabc"]), b"f", LIMIT)
    assert reader.next_part() is None


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b"--f\r\nContent-Length: 999999999\r\n\r\n", "announces"),
        (b"x" * (3 * LIMIT), "never shows its boundary"),
        (b"--f\r\n\r\n" + b"x" * (3 * LIMIT), "no boundary within"),
        (b"--f\r\n" + b"a: b\r\n" * 5000, "too long"),
        (b"--f\r\n" + b"a" * 50_000, "too long"),
    ],
)
def test_what_would_grow_without_end_is_refused(stream: bytes, words: str) -> None:
    reader = MultipartReader(feed(split(stream, list(range(0, len(stream), 1000)))), b"f", LIMIT)
    with pytest.raises(SourceError, match=words):
        all_parts(reader)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/x-mixed-replace; boundary=frame", b"frame"),
        ("multipart/x-mixed-replace;boundary=--myboundary", b"myboundary"),
        ('multipart/x-mixed-replace; boundary="a b"', b"a b"),
        ("multipart/x-mixed-replace", b""),
    ],
)
def test_the_boundary_is_found_however_it_is_written(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary
