"""Clips of a benchmark as RTSP cameras, by GStreamer's server where it is installed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgenode.errors import EdgeNodeError

_PYTHON = os.environ.get("EDGENODE_GST_PYTHON", "/usr/bin/python3")
"""A Python with PyGObject: the system's, not that of a virtual environment."""
_MISSING = 3
_END_S = 10.0


@contextmanager
def rtsp_cameras(clips: Sequence[Path]) -> Iterator[tuple[str, ...]]:
    """The addresses of `clips`, served in real time by a process of its own, looped; each client begins at the first
    frame. Raises EdgeNodeError."""
    script = Path(__file__).with_name("rtsp_serve.py")
    try:
        process = subprocess.Popen(
            [_PYTHON, str(script), *map(str, clips)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except OSError as error:
        raise EdgeNodeError(f"the RTSP server cannot be started: {error}") from error
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line:
            _, said = process.communicate(timeout=_END_S)
            if process.returncode == _MISSING:
                raise EdgeNodeError(
                    "GStreamer's RTSP server is not installed (Debian: gir1.2-gst-rtsp-server-1.0 python3-gi "
                    "gstreamer1.0-plugins-good gstreamer1.0-plugins-bad)"
                )
            raise EdgeNodeError(f"the RTSP server ended: {said.strip()[-300:]}")
        yield tuple(f"rtsp://127.0.0.1:{int(line)}/camera_{number}" for number in range(len(clips)))
    finally:
        process.terminate()
        process.communicate()
