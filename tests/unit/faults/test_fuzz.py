"""The short form of `python -m tests.faults.fuzz`: a few hundred damaged inputs of each kind."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgenode.capture.http import MAX_PICTURE_BYTES
from edgenode.capture.multipart import MultipartReader
from edgenode.capture.pictures import decode_picture
from edgenode.errors import PictureError, SourceError
from tests.faults.fuzz_targets import TARGETS, Target

INPUTS = {
    "broker": 300,
    "card": 150,
    "command": 150,
    "command_line": 50,
    "configuration": 25,
    "environment": 100,
    "model": 50,
    "multipart": 150,
    "picture": 300,
    "video": 60,
}


@pytest.fixture(scope="module", params=sorted(TARGETS))
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Target]:
    name = str(request.param)
    return name, TARGETS[name](tmp_path_factory.mktemp(name))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_damaged_input_is_refused_or_used_and_never_a_fault(
    target: tuple[str, Target], nothing_left_behind: None, seed: int
) -> None:
    """To feed one input again: `random.Random(seed)`, where `seed` is the number that failed."""
    name, feed = target
    for number in range(seed, seed + INPUTS[name] // 25):
        assert feed(random.Random(number))


@given(st.binary(max_size=300), st.binary(max_size=12), st.integers(1, 50))
def test_any_bytes_are_an_mjpeg_stream_or_an_error(data: bytes, boundary: bytes, piece: int) -> None:
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    reader = MultipartReader(lambda _: pieces.pop(0) if pieces else b"", boundary, MAX_PICTURE_BYTES)
    said = ""
    try:
        while (part := reader.next_part()) is not None:
            assert part
    except SourceError as error:
        said = str(error)
    assert "\n" not in said


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"II*\0"]),
)
def test_any_bytes_are_a_picture_or_an_error(data: bytes, magic: bytes) -> None:
    try:
        picture = decode_picture(magic + data)
    except PictureError as error:
        said = str(error)
    else:
        said = f"{picture.shape}"
    assert "\n" not in said


def test_a_configuration_that_is_not_touched_is_good(tmp_path: Path) -> None:
    """Otherwise nothing but the first mistake would ever be looked at."""
    from edgenode.configuration.check import prove
    from tests.faults.fuzz_targets import WORKING
    from tests.models import make_model

    make_model(tmp_path / "tiny.onnx")
    (tmp_path / "edgenode.toml").write_text(WORKING)
    assert prove(tmp_path / "edgenode.toml", {}).settings.cameras[0].name == "line_1"
