"""Writes H.264 clips: what benchmarks and tests play when nobody gives them one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

from edgenode.capture.scenes.scene import Scene
from edgenode.records import U8

CAMERA_LIKE: Mapping[str, str] = {"preset": "veryfast", "tune": "zerolatency", "crf": "26"}
"""x264 as surveillance cameras encode: no frames out of order, no look-ahead."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a clip is encoded."""

    fps: int = 15
    key_s: float = 2.0
    """Seconds from key frame to key frame."""
    codec: str = "libx264"
    options: Mapping[str, str] = field(default_factory=lambda: CAMERA_LIKE)


def write_clip(
    scene: Scene, path: Path, seconds: float, fps: int = 15, size: tuple[int, int] | None = None
) -> None:
    """`seconds` of `scene` from its time 0, as a camera would encode it.

    `size` (width, height) scales the pictures; the scene's own size where it is None.
    """
    width, height = size if size is not None else scene.size
    drawn = (
        av.VideoFrame.from_ndarray(scene.draw(index / fps), format="rgb24")
        for index in range(round(seconds * fps))
    )
    _write((frame.reformat(width=width, height=height) for frame in drawn), path, Encoding(fps))


def write_planes(pictures: Iterable[U8], path: Path, encoding: Encoding) -> None:
    """Encode `pictures`, each uint8 [H * 3 / 2, W]: the luma rows, then both chroma planes (yuv420p)."""
    _write((av.VideoFrame.from_ndarray(picture, format="yuv420p") for picture in pictures), path, encoding)


def _write(frames: Iterable[av.VideoFrame], path: Path, encoding: Encoding) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoding.codec, rate=encoding.fps)
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, encoding.fps)
        stream.codec_context.gop_size = round(encoding.key_s * encoding.fps)
        stream.options = dict(encoding.options)
        for index, frame in enumerate(frames):
            if index == 0:
                stream.width, stream.height = frame.width, frame.height
            frame.pts, frame.time_base = index, Fraction(1, encoding.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def rotate_clip(clip: Path, path: Path, share: float) -> None:
    """The same packets, begun at the key frame nearest to `share` (0 to 1) of the clip's groups, the rest behind.

    For clips without reordered frames whose groups stand alone.
    """
    with av.open(str(clip)) as container, av.open(str(path), "w") as out:
        source = container.streams.video[0]
        groups: list[list[av.Packet]] = []
        for packet in container.demux(source):
            if packet.size and packet.is_keyframe:
                groups.append([])
            if packet.size and groups:
                groups[-1].append(packet)
        first = round(share * len(groups)) % len(groups)
        stream = out.add_stream_from_template(source)
        interval = Fraction(1) / (source.average_rate or Fraction(25))
        packets = [packet for group in (*groups[first:], *groups[:first]) for packet in group]
        for index, packet in enumerate(packets):
            copy = av.Packet(bytes(packet))
            copy.stream, copy.time_base = stream, interval
            copy.pts = copy.dts = index
            copy.is_keyframe = packet.is_keyframe
            out.mux(copy)
