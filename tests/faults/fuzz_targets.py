"""What is fed with damaged input, and what it may answer: one of our own errors, or something valid."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgenode.capture.http import MAX_PICTURE_BYTES
from edgenode.capture.multipart import MultipartReader
from edgenode.capture.opening import open_source
from edgenode.capture.pictures import decode_picture
from edgenode.capture.source import SourceIdleError, SourceOptions
from edgenode.clock import SystemClock
from edgenode.configuration.check import prove
from edgenode.errors import ConfigurationError, PictureError, SourceEndedError, SourceError
from tests.clips import jpeg, numbered, write_clip
from tests.faults.fuzz_broker import broker
from tests.faults.fuzz_words import Target, card, command, command_line, environment, in_words, model
from tests.faults.mutation import damaged, misspelt
from tests.models import make_model

REPOSITORY = Path(__file__).resolve().parents[2]
FRAMES = 6
WORKING = """
[node]
name = "line-7"
state_dir = "state"
[mqtt]
host = "127.0.0.1"
[models.tiny]
file = "tiny.onnx"
[[cameras]]
name = "line_1"
source = "synthetic:line"
fps = 5
gate = "motion"
masks = [[[0.0, 0.0], [0.2, 0.0], [0.2, 0.1]]]
[[cameras.regions]]
name = "frame"
box = [0.10, 0.25, 0.60, 0.90]
smoothing = { window = "1s", enter = 0.8, leave = 0.5, hold = "500ms" }
[[rules]]
name = "lit"
when = 'line_1.frame == "bright"'
for = "300ms"
severity = "warning"
"""


def configuration(folder: Path) -> Target:
    """`edgenode check`: good, or a message for each mistake that names the file."""
    texts = [path.read_text() for path in sorted((REPOSITORY / "docs" / "examples").glob("*.toml"))]
    texts += [WORKING] * len(texts)
    make_model(folder / "tiny.onnx")
    path = folder / "edgenode.toml"

    def feed(rng: random.Random) -> str:
        path.write_text(misspelt(rng, rng.choice(texts)), encoding="utf-8", errors="surrogatepass")
        try:
            prove(path, {})
        except ConfigurationError as error:
            problems = error.problems
        else:
            return "good"
        in_words(problems)
        return "refused"

    return feed


def picture(folder: Path) -> Target:
    """One still picture, as it comes from a camera or lies in a watched folder."""
    del folder
    import cv2

    drawn = numbered(5, 160, 90)
    seeds = [jpeg(drawn), jpeg(drawn, 30), jpeg(drawn[:, :, ::-1].copy(), 99)]
    for suffix in (".png", ".bmp", ".webp", ".tif"):
        ok, data = cv2.imencode(suffix, drawn)
        assert ok
        seeds.append(data.tobytes())

    def feed(rng: random.Random) -> str:
        try:
            found = decode_picture(damaged(rng, rng.choice(seeds)))
        except PictureError:
            return "refused"
        assert found.ndim == 3
        assert found.shape[2] == 3
        assert found.size > 0
        return "decoded"

    return feed


def multipart(folder: Path) -> Target:
    """An MJPEG stream, in pieces of any size."""
    del folder
    part = jpeg(numbered(3, 160, 90))
    head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    seeds = [(head % len(part) + part + b"\r\n") * 3, (b"--frame\r\n\r\n" + part + b"\r\n") * 3]

    def feed(rng: random.Random) -> str:
        left = memoryview(damaged(rng, rng.choice(seeds)))

        def more(size: int) -> bytes:
            nonlocal left
            chunk, left = left[: rng.randint(1, size)], left[rng.randint(1, size) :]
            return bytes(chunk)

        reader = MultipartReader(more, b"frame", MAX_PICTURE_BYTES)
        parts = 0
        try:
            while (body := reader.next_part()) is not None:
                parts += 1
                try:
                    decode_picture(body)
                except PictureError:
                    continue
        except SourceError:
            return "refused"
        return f"{min(parts, 3)} parts"

    return feed


def video(folder: Path) -> Target:
    """A file through demuxer and decoder: H.264 in MP4, Matroska and bare, MPEG-4, MJPEG in AVI."""
    pictures = [numbered(number, 96, 64) for number in range(FRAMES)]
    seeds = [
        (suffix, write_clip(folder / f"seed.{suffix}", pictures, gop=3).read_bytes())
        for suffix in ("mp4", "mkv", "h264", "ts", "avi")
    ]
    options = SourceOptions(base_dir=folder, open_timeout_s=5.0, read_timeout_s=5.0)

    def feed(rng: random.Random) -> str:
        suffix, seed = rng.choice(seeds)
        path = folder / f"damaged.{suffix}"
        path.write_bytes(damaged(rng, seed))
        frames = 0
        try:
            source = open_source(path.name, options, SystemClock())
        except SourceError:
            return "not opened"
        try:
            while frames < 4 * FRAMES:
                grab = source.read()
                frames += 1
                try:
                    grab.rgb()
                except PictureError:
                    continue
        except (SourceError, SourceIdleError, SourceEndedError):
            return "read"
        finally:
            source.close()
        return "read on and on"

    return feed


TARGETS: dict[str, Callable[[Path], Target]] = {
    "broker": broker,
    "card": card,
    "command": command,
    "command_line": command_line,
    "configuration": configuration,
    "environment": environment,
    "model": model,
    "picture": picture,
    "multipart": multipart,
    "video": video,
}


def scratch() -> tempfile.TemporaryDirectory[str]:
    """In memory where that is possible: a hundred thousand files wear a disk."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="fuzz", dir=memory if memory.is_dir() else None)
