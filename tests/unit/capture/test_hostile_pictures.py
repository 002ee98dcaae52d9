"""Pictures, streams and cards made to do harm: refused quickly and in words, at every door they can come through."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edgenode.capture.multipart import MultipartReader
from edgenode.capture.opening import open_source
from edgenode.capture.picture_header import MAX_SCANS, picture_size
from edgenode.capture.pictures import decode_picture
from edgenode.capture.source import SourceOptions
from edgenode.capture.stream import MAX_PIXELS
from edgenode.capture.web import WebClient
from edgenode.clock import SystemClock
from edgenode.errors import ModelError, PictureError, SourceError, SourceRefusedError
from edgenode.inference.card import MAX_CARD_CHARACTERS, parse_card
from tests.pictures_made import encoded, noise
from tests.servers.http_camera import Behaviour, HttpCamera

ROOT = Path(__file__).parents[3]


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(width: int, height: int, body: bytes, *before: bytes) -> bytes:
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(before)
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


def tiff(*entries: tuple[int, int]) -> bytes:
    """A TIFF of one directory: (tag, value) as given, repeated tags included."""
    directory = len(entries).to_bytes(2, "little") + b"".join(
        tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0" + value.to_bytes(4, "little")
        for tag, value in entries
    )
    return b"II*\0\x08\0\0\0" + directory + bytes(64)


def webp_canvas(width: int, height: int) -> bytes:
    """An extended WebP whose canvas says another size than the picture in it."""
    inner = encoded(noise(1, 8, 8), ".webp")[12:]
    canvas = b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + (10).to_bytes(4, "little") + canvas + inner
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def many_scans(count: int) -> bytes:
    ok, written = cv2.imencode(".jpg", np.full((64, 64, 3), 128, np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert ok
    whole = bytes(written)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + b"\xff\xd9"


ROWS = zlib.compress(bytes(200))
HUGE = b"x\0\0" + zlib.compress(bytes(2**27), 9)
BOMBS = {
    "png of 50,000 x 50,000": png(50_000, 50_000, zlib.compress(bytes(2_000_000), 9)),
    "png that is smaller than it says": png(8_000, 8_000, zlib.compress(bytes(1000), 9)),
    "png with a huge comment": png(8, 8, ROWS, chunk(b"zTXt", HUGE)),
    "png with a huge profile": png(8, 8, ROWS, chunk(b"iCCP", HUGE)),
    "bmp of 46,000 x 46,000": b"BM" + bytes(12) + (40).to_bytes(4, "little") + (46_000).to_bytes(4, "little") * 2
    + b"\x01\0\x18\0" + bytes(60),
    "tiff of 60,000 x 60,000": tiff((256, 60_000), (257, 60_000)),
    "tiff that says two sizes": tiff((256, 60_000), (257, 60_000), (258, 8), (262, 1), (273, 8), (278, 1), (279, 8),
                                     (256, 4), (257, 4)),
    "webp with another canvas": webp_canvas(16_000, 16_000),
    "jpeg of a thousand scans": many_scans(1000),
    "jpeg of 65,500 x 65,500": encoded(noise(2), ".jpg").replace(b"\x00\x20\x00\x28", b"\xff\xdc\xff\xdc", 1),
}  # fmt: skip


def test_picture_bombs_are_refused_within_little_memory_and_time(tmp_path: Path) -> None:
    for name, data in BOMBS.items():
        (tmp_path / name).write_bytes(data)
    program = f"""
import pathlib, resource
from edgenode.capture.pictures import decode_picture
from edgenode.errors import PictureError
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 700 * 2**20, now + 700 * 2**20))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
for path in pathlib.Path({str(tmp_path)!r}).iterdir():
    try:
        print(path.name, decode_picture(path.read_bytes()).shape, sep=": ")
    except PictureError as error:
        print(path.name, "refused", sep=": ")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = dict(line.split(": ") for line in done.stdout.splitlines())
    assert set(told) == set(BOMBS)
    # a decoder may take a picture whose comment alone is a bomb; what counts is what it cost
    allowed = {"refused", "(8, 8, 3)"}
    assert {name: outcome for name, outcome in told.items() if outcome not in allowed} == {}


def test_a_progressive_jpeg_is_no_bomb() -> None:
    ok, written = cv2.imencode(".jpg", noise(3), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert ok
    assert decode_picture(bytes(written)).shape == (32, 40, 3)
    assert picture_size(many_scans(MAX_SCANS - 20)) == (64, 64)
    with pytest.raises(PictureError, match="scans"):
        decode_picture(many_scans(MAX_SCANS + 1))


def test_opencv_itself_knows_the_limit() -> None:
    """For pictures whose header says another size to us than to it."""
    program = "import edgenode, cv2, numpy as n; print(cv2.imdecode(n.frombuffer(open(0, 'rb').read(), n.uint8), 1))"
    bomb = png(8001, 8001, zlib.compress(bytes(1000), 9))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, input=bomb, capture_output=True, timeout=60
    )
    assert b"CV_IO_MAX_IMAGE_PIXELS" in done.stderr


@pytest.mark.parametrize("digits", [19, 5_000, 15_000])
def test_a_part_with_an_endless_length_ends_at_its_boundary(digits: int) -> None:
    stream = iter([b"--f\r\nContent-Length: " + b"9" * digits + b"\r\n\r\npicture\r\n--f\r\n"])
    reader = MultipartReader(lambda size: next(stream, b""), b"f", 1000)
    assert reader.next_part() == b"picture"


@pytest.fixture
def two_cameras() -> Iterator[tuple[HttpCamera, HttpCamera]]:
    picture = encoded(noise(1), ".jpg")
    with HttpCamera(Behaviour([picture])) as first, HttpCamera(Behaviour([picture])) as second:
        yield first, second


@pytest.mark.parametrize(
    ("target", "followed"),
    [
        ("http://127.0.0.1:{port}/still", True),
        ("http://localhost:{port}/still", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("//telemetry.example/still", False),
        ("file:///etc/passwd", False),
        ("ftp://127.0.0.1:{port}/still", False),
        ("/still", True),
    ],
)
def test_a_camera_leads_to_no_other_machine(
    two_cameras: tuple[HttpCamera, HttpCamera], target: str, followed: bool
) -> None:
    first, second = two_cameras
    first.behaviour.location = target.format(port=second.port)
    client = WebClient(first.url("moved", "viewer:secret"), 5.0, 5.0)
    if followed:
        answer = client.get({})
        assert answer is not None
        answer.close()
    else:
        with pytest.raises(SourceError) as caught:
            client.get({})
        assert "secret" not in str(caught.value)
        assert second.behaviour.requests == []


def test_a_stream_of_enormous_pictures_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    clip = tmp_path / "large.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 9000, 8000, "yuv420p"
        frame = av.VideoFrame(9000, 8000, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert MAX_PIXELS < 9000 * 8000
    with pytest.raises(SourceRefusedError, match="9000×8000"):
        open_source(str(clip), SourceOptions(base_dir=tmp_path), SystemClock())


LISTS = {
    "concat": "ffconcat version 1.0\nfile http://127.0.0.1:{port}/still\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nhttp://127.0.0.1:{port}/still\n#EXT-X-ENDLIST\n",
    "rtsp": "RTSPtext\nrtsp://127.0.0.1:{port}/still\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_clip_that_is_a_playlist_leads_nowhere(
    tmp_path: Path, two_cameras: tuple[HttpCamera, HttpCamera], kind: str
) -> None:
    (tmp_path / "clip.mp4").write_text(LISTS[kind].format(port=two_cameras[0].port))
    with pytest.raises(SourceError):
        open_source("clip.mp4", SourceOptions(base_dir=tmp_path), SystemClock()).read()
    assert two_cameras[0].behaviour.requests == []


def test_a_card_is_read_within_limits() -> None:
    deep = '{"labels":' + "[" * 100_000 + "]" * 100_000 + "}"
    many = json.dumps({"labels": [str(n) for n in range(20_000)]})
    long = json.dumps({"labels": ["x" * 1_000_000, "y"]})
    number = '{"temperature": ' + "9" * 5000 + "}"
    for text in (
        deep,
        many,
        long,
        number,
        "[" * 100_000,
        "{" * 100_000,
        "\x00",
        "9" * 100_000,
        '"' + "\\u0000" * 1000 + '"',
    ):
        with pytest.raises(ModelError):
            parse_card(text, "m.onnx")
    with pytest.raises(ModelError, match="at most"):
        parse_card(" " * (MAX_CARD_CHARACTERS + 1), "m.onnx")
