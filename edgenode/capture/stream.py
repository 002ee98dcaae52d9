"""Reading video with PyAV: the part that files and RTSP streams share."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

import av
from av.codec.context import Flags

from edgenode.capture.decoded import MAX_PIXELS, DecodedPicture, Undecodable, no_picture
from edgenode.capture.kept_packets import KeptPackets
from edgenode.capture.keyframes import KeyframeChoice
from edgenode.capture.packet_gate import PacketGate
from edgenode.capture.source import Grab, SourceIdleError
from edgenode.capture.stream_errors import open_error, read_error
from edgenode.capture.turns import Turn
from edgenode.errors import SourceEndedError, SourceError, SourceRefusedError

LOT_S = 0.19
"""Packets that a closed gate passes over are told in lots of this length: a thread that comes back for each of
them costs several times what reading them costs."""
_LIMITS = {"max_pixels": str(MAX_PIXELS)}
"""Tells FFmpeg's decoders: a stream of 200 kB can ask for gigabytes of frames before one is seen here."""
_PARSED = ("h264", "hevc", "mpeg4")
"""Their packets do not say where a picture ends."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How `VideoStream` opens its container."""

    target: str
    """URL or absolute path, as FFmpeg takes it."""
    shown: str
    """The same without credentials, for messages."""
    options: dict[str, str]
    open_timeout_s: float
    read_timeout_s: float
    live: bool
    keyframes_only: bool
    enough_fps: float = 0.0
    """Key frames alone are decoded for as long as they come this often; 0 decodes all."""
    gate: PacketGate | None = None
    offset_s: float = 0.0
    """Added to the media time of every grab."""
    turn: Turn = field(default_factory=Turn)
    """Begun before decoding; ended before a live stream waits for its network."""
    hurry: threading.Event = field(default_factory=threading.Event)
    """While set key frames alone are decoded, and from its end on up to the next one."""


class VideoStream:
    """The first video track of a container, decoded by one thread, converted only on demand.

    Frames still inside the decoder when a live stream breaks are thrown away: they would arrive late and be
    taken for new ones.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        began_s = time.monotonic()
        try:
            self._container = av.open(
                settings.target,
                options=settings.options | _LIMITS,
                timeout=(settings.open_timeout_s, settings.read_timeout_s),
                metadata_errors="replace",  # a title in another encoding is no reason not to play a file
            )
        except av.error.FFmpegError as error:
            spent_s = time.monotonic() - began_s
            raise open_error(error, settings.shown, settings.open_timeout_s, spent_s) from None
        except (OSError, ValueError) as error:
            raise SourceError(f"{settings.shown} cannot be opened: {error.__class__.__name__}") from None
        try:
            self._start()
        except BaseException:
            self._container.close()
            raise

    def _start(self) -> None:
        if not self._container.streams.video:
            raise SourceError(f"{self._settings.shown} holds no video")
        stream = self._container.streams.video[0]
        if stream.codec_context is None:
            raise SourceError(f"{self._settings.shown}: there is no decoder for its video")
        context = stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            size = f"{context.width}×{context.height}"
            raise SourceRefusedError(
                f"{self._settings.shown} has pictures of {size}, larger than {MAX_PIXELS} pixels"
            )
        context.options = _LIMITS
        context.thread_count = 1  # frame threads cost 10 to 20 % more CPU and add delay
        if self._settings.live:
            context.flags |= Flags.low_delay
        if self._settings.keyframes_only:
            context.skip_frame = "NONKEY"
        self._context = context
        self._choice = KeyframeChoice(self._settings.enough_fps)
        self.codec: str = context.name
        self.width: int = context.width
        self.height: int = context.height
        self.fps: float = float(stream.average_rate or 0.0)
        self.declared_s: float = self._declared_s(stream)
        self._packets = self._container.demux(stream)
        self._decoded: deque[Grab] = deque()
        self._first_s: float | None = None
        self._tick_s: float | None = None
        """The packets' time base: arithmetic with fractions costs 20 µs a packet."""
        self._last_s = 0.0
        self._seen = 0
        self._count = 0
        self._bytes = 0
        self._kept = KeptPackets()
        self._lot: list[float] = []
        self._catching_up = False
        self._hurried = False
        self._came_s = time.monotonic()
        # a parser hands out a picture when the next one begins: the packet before tells when it came
        self._parsed = self._settings.live and self.codec in _PARSED
        self._looked_at: set[int | None] = set()
        self._gate = self._settings.gate
        if self._gate is not None:
            self._gate.restart()

    def _declared_s(self, stream: av.VideoStream) -> float:
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        return float((self._container.duration or 0) / av.time_base)

    @property
    def next_s(self) -> float:
        """Media time at which a frame after the last one would stand."""
        return self._last_s + (1.0 / self.fps if self.fps > 0.0 else 0.04) if self._seen else 0.0

    @property
    def frames(self) -> int:
        """Frames handed out so far."""
        return self._seen

    def read(self) -> Grab:
        """As `Source.read`; SourceEndedError where the container ends, live or not."""
        began_s = time.monotonic()
        while not self._decoded:
            self._decode_one()
            if not self._decoded and time.monotonic() - began_s > self._settings.read_timeout_s:
                raise SourceIdleError(f"{self._settings.shown} sends data, but no picture yet")
        return self._decoded.popleft()

    def _decode_one(self) -> None:
        if self._catching_up:
            self._catch_up()
            return
        if self._settings.live:
            self._settings.turn.end()
        try:
            packet = next(self._packets)
        except StopIteration:
            raise SourceEndedError(f"{self._settings.shown} has ended") from None
        except av.error.FFmpegError as error:
            raise read_error(error, self._settings.shown, self._settings.read_timeout_s) from None
        except IndexError:  # PyAV, where a packet belongs to a stream that began after the opening
            raise SourceError(f"{self._settings.shown} broke off: it goes on as another stream") from None
        came_s, self._came_s = self._came_s, time.monotonic()
        if packet.size == 0 and self._settings.live:
            raise SourceEndedError(f"{self._settings.shown} has ended")
        self._choose(packet)
        size = packet.size
        if size:
            self._count += 1
            self._bytes += size
            if self._gate is not None and self._gated(packet, size, self._gate):
                return
        self._pass_lot()
        self._decode(packet, None, came_s if self._parsed else None)

    def _choose(self, packet: av.Packet) -> None:
        """Whether key frames alone are decoded from `packet` on."""
        settings = self._settings
        if settings.hurry.is_set():
            self._hurried = True
            self._context.skip_frame = "NONKEY"
        elif packet.is_keyframe and (self._hurried or settings.enough_fps > 0.0):
            self._hurried = alone = False
            if settings.enough_fps > 0.0 and packet.pts is not None:
                alone = self._choice.alone(float(packet.pts * packet.time_base))
            self._context.skip_frame = "NONKEY" if alone or settings.keyframes_only else "DEFAULT"

    def _gated(self, packet: av.Packet, size: int, gate: PacketGate) -> bool:
        """Whether the packet needs no decoding now: kept, or dealt with already."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return False
        if self._tick_s is None:
            self._tick_s = float(packet.time_base)
        time_s = stamp * self._tick_s
        if self._first_s is not None:
            time_s -= self._first_s
        keyframe = packet.is_keyframe
        is_open = gate.packet(size, keyframe, max(0.0, time_s))
        if is_open and not len(self._kept):
            return False
        self._kept.keep(packet, keyframe, size, time.monotonic())
        if is_open or self._kept.full:
            self._pass_lot()
            self._catching_up = True
        elif keyframe and gate.wants_key():
            self._pass_lot()
            self._look_at_key(packet)
        else:
            self._last_s = max(self._last_s, time_s)
            self._seen += 1
            self._lot.append(time_s + self._settings.offset_s)
            if self._lot[-1] - self._lot[0] >= LOT_S or self._lot[-1] < self._lot[0]:
                self._pass_lot()
        return True

    def _pass_lot(self) -> None:
        """Tell of the packets that were passed over since the last lot, if any."""
        if self._lot:
            self._decoded.append(
                Grab(
                    self._lot[-1],
                    False,
                    False,
                    self._bytes,
                    no_picture,
                    packets=self._count,
                    skipped=True,
                    lot=tuple(self._lot),
                )
            )
            self._lot.clear()
            self._count = self._bytes = 0

    def _look_at_key(self, packet: av.Packet) -> None:
        """Decode a key frame alone, whatever the decoder's delay; it stays kept, for those that follow."""
        self._settings.turn.begin()
        self._context.flush_buffers()
        began_s = time.perf_counter()
        try:
            frames = [*self._context.decode(packet), *self._context.decode(None)]
        except av.error.FFmpegError:
            frames = []
        self._context.flush_buffers()
        for frame in frames:
            self._looked_at = {frame.pts}
            # drained frames know no time base of their own
            pts_s = float(frame.pts * packet.time_base) if frame.pts is not None else None
            self._append(DecodedPicture(frame), pts_s, True, bool(frame.is_corrupt), began_s)

    def _catch_up(self) -> None:
        """Decode the oldest kept packet."""
        kept = self._kept.take()
        if kept.keyframe:
            self._context.flush_buffers()
        self._catching_up = len(self._kept) > 0
        self._decode(kept.packet, kept.arrived_s)

    def _decode(self, packet: av.Packet, arrived_s: float | None, came_s: float | None = None) -> None:
        """`arrived_s`: when a packet that was kept came; `came_s`: when one did that was not."""
        self._settings.turn.begin()
        began_s = time.perf_counter()
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self._append(
                Undecodable(self._settings.shown), None, packet.is_keyframe, True, began_s, arrived_s
            )
            return
        for frame in frames:
            if arrived_s is not None and frame.pts is not None and frame.pts in self._looked_at:
                continue
            self._append(
                DecodedPicture(frame),
                frame.time,
                bool(frame.key_frame),
                bool(frame.is_corrupt),
                began_s,
                arrived_s,
                came_s,
            )
            began_s = time.perf_counter()

    def _append(
        self,
        picture: DecodedPicture | Undecodable,
        pts_s: float | None,
        keyframe: bool,
        corrupt: bool,
        began_s: float,
        arrived_s: float | None = None,
        came_s: float | None = None,
    ) -> None:
        media_s = self._media_s(pts_s)
        decode_s = time.perf_counter() - began_s
        self._decoded.append(
            Grab(
                media_s + self._settings.offset_s,
                keyframe,
                corrupt,
                self._bytes,
                picture,
                packets=self._count,
                decode_s=decode_s,
                captured_s=(arrived_s or came_s) if self._settings.live else None,
                recalled=arrived_s is not None,
                grey=picture.grey if isinstance(picture, DecodedPicture) else None,
                parts=picture.planes if isinstance(picture, DecodedPicture) else None,
            )
        )
        self._count = self._bytes = 0

    def _media_s(self, pts_s: float | None) -> float:
        if pts_s is None:  # the first picture of an RTSP stream often carries no time
            media_s = self.next_s
        else:
            if self._first_s is None:
                self._first_s = pts_s - self.next_s
            media_s = pts_s - self._first_s
        self._last_s = media_s
        self._seen += 1
        return media_s

    def close(self) -> None:
        self._decoded.clear()
        self._packets.close()
        self._container.close()
