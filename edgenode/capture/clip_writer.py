"""Writes an H.264 clip of a drawn scene: what benchmarks and tests play when nobody gives them one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from edgenode.capture.scenes.scene import Scene


def write_clip(
    scene: Scene, path: Path, seconds: float, fps: int = 15, size: tuple[int, int] | None = None
) -> None:
    """`seconds` of `scene` from its time 0, as a camera would encode it: baseline-like, a key frame every 2 s.

    `size` (width, height) scales the pictures; the scene's own size where it is None.
    """
    width, height = size if size is not None else scene.size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, fps)
        stream.codec_context.gop_size = 2 * fps
        stream.options = {"preset": "veryfast", "tune": "zerolatency", "crf": "26"}
        for index in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(scene.draw(index / fps), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame.reformat(width=width, height=height)))
        container.mux(stream.encode(None))
