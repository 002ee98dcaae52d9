"""Pictures and clips made by the tests: every frame tells its own number."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from edgenode.records import U8

BITS = 10


def numbered(number: int, width: int = 320, height: int = 180) -> U8:
    """A picture with `number` in black and white blocks along its top, texture and a moving square below."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], axis=2)
    picture = picture.astype(np.uint8)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        picture[: height // 6, left:right] = 255 if number >> bit & 1 else 0
    x = number * 7 % (width - 40)
    picture[height // 2 : height // 2 + 40, x : x + 40] = (255, 60, 0)
    return picture


def number_of(picture: U8) -> int:
    """The number that `numbered` wrote, after any lossy coding."""
    height, width = picture.shape[:2]
    strip = picture[height // 24 : height // 8].mean(axis=(0, 2))
    middles = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum(1 << bit for bit, x in enumerate(middles) if strip[max(0, x - 2) : x + 3].mean() > 127)


def write_clip(
    path: Path, pictures: Iterable[U8], fps: int = 25, gop: int = 25, codec: str = "libx264", **coding: str
) -> Path:
    """Encode `pictures` with `codec` (libx264: no B-frames unless asked for); the container follows from the suffix."""
    container = av.open(str(path), "w")
    stream = None
    for index, picture in enumerate(pictures):
        if stream is None:
            options = {"preset": "ultrafast", "crf": "16", "bf": "0", **coding}
            stream = container.add_stream(codec, rate=fps, options=options)
            stream.height, stream.width = picture.shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.gop_size = gop
            stream.codec_context.thread_count = 1
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, fps)
        container.mux(stream.encode(frame))
    assert stream is not None
    container.mux(stream.encode())
    container.close()
    return path


def numbered_clip(path: Path, frames: int, fps: int = 25, gop: int = 25) -> Path:
    return write_clip(path, (numbered(number) for number in range(frames)), fps, gop)


def jpeg(picture: U8, quality: int = 92) -> bytes:
    ok, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    assert ok
    return data.tobytes()
