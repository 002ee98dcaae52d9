"""What a source of pictures is, whatever stands behind its URL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from edgenode.capture.packet_gate import PacketGate
from edgenode.capture.turns import Turn
from edgenode.errors import SourceError
from edgenode.records import U8, Planes

IDLE_S = 0.5
"""How long a source that merely waits for its next picture blocks before it says so: bounds a stop."""


class SourceIdleError(SourceError):
    """Nothing new yet, and nothing wrong: a watched folder at night. Read again."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is opened and read. Every kind takes what concerns it."""

    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0
    transport: Literal["tcp", "udp"] = "tcp"
    """Of RTSP. UDP shows damaged pictures, unflagged, when packets are lost."""
    loop: bool = False
    """A file starts again at its end; its media time runs on."""
    keyframes_only: bool = False
    """Decode key frames alone: a fifth of the cost, one picture a group."""
    enough_fps: float = 0.0
    """Of live streams: decode key frames alone for as long as they come this often; 0 decodes all."""
    follow: bool = True
    """A folder is watched for new pictures; False reads what is there and ends."""
    poll_s: float = 0.2
    """Pause between two requests of a still picture."""
    base_dir: Path = Path()
    """What relative paths are relative to: the folder of the configuration file."""
    gate: PacketGate | None = None
    """Of compressed streams: says which packets are decoded."""
    turn: Turn = field(default_factory=Turn)
    """Of the thread that reads: a source begins it before it computes and ends it before it waits."""
    hurry: threading.Event = field(default_factory=threading.Event)
    """Set while the reader has fallen behind a live stream: key frames alone are decoded then."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source once it is open; zero or empty where it does not say."""

    width: int
    height: int
    fps: float
    codec: str
    live: bool
    """Pictures come at the source's own pace, and one that is not read now is lost or late."""
    finite: bool
    """There is an end: `read` will raise SourceEndedError."""


@dataclass(frozen=True, slots=True)
class Grab:
    """One picture, not yet converted. Belongs to the thread that read it, until its next `read`."""

    media_s: float | None
    """Seconds on the stream's own clock since opening; None where it has none (MJPEG, folders)."""
    keyframe: bool
    corrupt: bool
    """The decoder says that parts are damaged or missing. `rgb` may raise."""
    packet_bytes: int
    """Compressed bytes read since the grab before."""
    picture: Callable[[], U8]
    packets: int = 1
    """Compressed packets read since the grab before."""
    decode_s: float = 0.0
    """Time spent decoding, without waiting."""
    captured_s: float | None = None
    """Monotonic instant that the picture shows, from sources that know it; else the arrival counts."""
    name: str = ""
    """File name of the picture, from folders."""
    skipped: bool = False
    """The packet was not decoded, by a closed gate or because it is `late`: there is no picture."""
    recalled: bool = False
    """Decoded later than it came, because a gate opened."""
    lot: tuple[float, ...] = ()
    """Media times of the packets that a closed gate kept since the grab before; `media_s` is that of the last."""
    grey: Callable[[], U8 | None] | None = None
    late: bool = False
    """Skipped because it waited too long on its way: the reader had fallen behind."""
    parts: Callable[[], Planes | None] | None = None

    def rgb(self) -> U8:
        """The picture, uint8 [H, W, 3] RGB, converted now; the caller may write to it.

        Raises PictureError where it cannot be decoded.
        """
        return self.picture()

    def luma(self) -> U8 | None:
        """The picture's brightness, uint8 [H, W], without converting anything; not to be written to, and gone
        with the grab. None where it cannot be had so."""
        return self.grey() if self.grey is not None else None

    def planes(self) -> Planes | None:
        """The picture as the decoder left it; None where it cannot be had so. Where it can, `rgb` may be called at any
        later time too, by one thread at a time."""
        return self.parts() if self.parts is not None else None


class Source(Protocol):
    """One open camera, file, folder or scene. Used by one thread; `close` belongs to the same thread."""

    @property
    def info(self) -> SourceInfo: ...

    def read(self) -> Grab:
        """The next picture. Blocks at most the read timeout; folders, stills and scenes `IDLE_S` between
        pictures.

        Raises SourceError when the source failed (close it, open it again), SourceIdleError when there is
        nothing new yet, SourceEndedError at the end of a finite source.
        """
        ...

    def close(self) -> None:
        """Give everything back. Safe to call twice."""
        ...
