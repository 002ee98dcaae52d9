"""An RTSP camera in a thread that misbehaves as told: one client after the other, RTP inside the TCP connection.

Written for faults a well-behaved server cannot show: times that jump or repeat, garbage between packets, another
codec or size in the middle of a stream, a stream that stops after some frames. H.264 by RFC 6184, framing by
RFC 2326 (10.12); enough of both for FFmpeg, and no more.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

from edgenode.records import U8

_CLOCK = 90_000
_KIND = 96
_MOST = 1400


@dataclass(frozen=True)
class Unit:
    """One access unit: its NAL units without start codes (H.264), or all of it in one piece (MPEG-4)."""

    nals: list[bytes]
    keyframe: bool


def mpeg4_units(pictures: list[U8], fps: int = 25) -> list[Unit]:
    """MPEG-4 part 2, key frames alone, each with its headers: what some old cameras can be switched to."""
    context = av.CodecContext.create("mpeg4", "w")
    context.height, context.width = pictures[0].shape[:2]
    context.pix_fmt, context.time_base, context.gop_size = "yuv420p", Fraction(1, fps), 1
    context.thread_count = 1
    packets = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, fps)
        packets += context.encode(frame)
    return [Unit([bytes(packet)], True) for packet in packets if packet.size]


def access_units(clip: Path) -> list[Unit]:
    """Of an H.264 clip's video track, parameter sets in front of every key frame."""
    units = []
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name == "h264" and clip.suffix == ".mp4":
            filtered = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", stream)
            packets = [
                out for packet in container.demux(stream) if packet.size for out in filtered.filter(packet)
            ]
        else:
            packets = [packet for packet in container.demux(stream) if packet.size]
        for packet in packets:
            pieces = bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
            units.append(Unit([piece for piece in pieces if piece], packet.is_keyframe))
    return units


@dataclass
class Script:
    """What the camera does; may be changed while it runs."""

    units: list[Unit]
    """Sent again and again."""
    fps: float = 25.0
    time_s: Callable[[int], float] | None = None
    """Frame number of the connection to its time on the stream's clock; None: even."""
    stop_after: int = 0
    """Frames of a connection after which nothing more comes, though it stays open; 0: none."""
    damage: Callable[[int, bytes], bytes] = lambda _, packet: packet
    """Frame number and RTP packet to what is sent in its place."""
    noise: bytes = b""
    """Sent between packets, outside of their frames."""
    status: str = "200 OK"
    """Of the answer to DESCRIBE."""
    junk: bytes = b""
    """Sent in place of any answer, where not empty."""
    codec: str = "H264"
    """Or "MP4V-ES", with `mpeg4_units`."""
    hold: threading.Event = field(default_factory=threading.Event)
    """Set: frames are made, and wait in the camera. Cleared: they all leave at once."""


class ScriptedRtsp:
    """Listens on loopback from `__enter__` to `__exit__`."""

    def __init__(self, script: Script, port: int = 0) -> None:
        self.script = script
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.made_at_s: dict[int, float] = {}
        """Place in `units` to the monotonic instant at which the frame was last made."""
        self._place = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, name="scripted-rtsp")

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def __enter__(self) -> ScriptedRtsp:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        self._thread.join()
        for thread in self._threads:
            thread.join()

    def drop_connections(self) -> None:
        """Reset every open connection, as a camera that reboots."""
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._sockets.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name="scripted-rtsp-client")
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            requests = connection.makefile("rb")
            while request := _request(requests):
                method, sequence = request
                if self.script.junk:
                    connection.sendall(self.script.junk)
                    continue
                connection.sendall(self._answer(method, sequence))
                if method == "PLAY":
                    self._play(connection)
                    return
                if method == "TEARDOWN":
                    return
        self._sockets = [each for each in self._sockets if each is not connection]

    def _answer(self, method: str, sequence: str) -> bytes:
        status, more, body = "200 OK", "", ""
        if method == "OPTIONS":
            more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            status = self.script.status
            body = self._description() if status.startswith("200") else ""
            more = "Content-Type: application/sdp\r\n" if body else ""
        elif method == "SETUP":
            more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        elif method == "PLAY":
            more = "Session: 1\r\n"
        head = f"RTSP/1.0 {status}\r\nCSeq: {sequence}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        return (head + body).encode()

    def _description(self) -> str:
        script = self.script
        if script.codec == "H264":
            sets = [nal for nal in script.units[0].nals if nal[0] & 31 in (7, 8)]
            sprop = ",".join(base64.b64encode(nal).decode() for nal in sets)
            form = f"packetization-mode=1;sprop-parameter-sets={sprop}"
        else:
            start = script.units[0].nals[0]
            form = f"profile-level-id=1;config={start[: start.index(bytes.fromhex('000001b6'))].hex()}"
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=scripted\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
            f"m=video 0 RTP/AVP {_KIND}\r\na=rtpmap:{_KIND} {script.codec}/{_CLOCK}\r\n"
            f"a=fmtp:{_KIND} {form}\r\na=control:track\r\n"
        )

    def _play(self, connection: socket.socket) -> None:
        """Frames at the script's pace, from the next key frame on."""
        sequence = number = 0
        while not self.script.units[self._place % len(self.script.units)].keyframe:
            self._place += 1
        waiting: list[tuple[int, Unit]] = []
        due_s = time.monotonic()
        while not self._closing.is_set():
            script = self.script
            if script.stop_after and number >= script.stop_after:
                if not _open(connection):
                    return
                self._closing.wait(0.02)
                due_s = time.monotonic()
                continue
            place = self._place % len(script.units)
            self._place += 1
            self.made_at_s[place] = time.monotonic()
            waiting.append((number, script.units[place]))
            number += 1
            while waiting and not script.hold.is_set():
                sequence = self._send(connection, *waiting.pop(0), sequence)
            due_s += 1.0 / script.fps
            self._closing.wait(max(0.0, due_s - time.monotonic()))

    def _send(self, connection: socket.socket, number: int, unit: Unit, sequence: int) -> int:
        script = self.script
        time_s = script.time_s(number) if script.time_s is not None else number / script.fps
        stamp = int(time_s * _CLOCK) & 0xFFFFFFFF
        pieces = _fragments(unit.nals) if script.codec == "H264" else _pieces(unit.nals[0])
        for last, payload in pieces:
            head = bytes([0x80, _KIND | (0x80 if last else 0)])
            packet = head + sequence.to_bytes(2, "big") + stamp.to_bytes(4, "big") + b"\0\0\0\1" + payload
            packet = script.damage(number, packet)
            connection.sendall(script.noise + b"$\0" + len(packet).to_bytes(2, "big") + packet)
            sequence = (sequence + 1) & 0xFFFF
        return sequence


def _open(connection: socket.socket) -> bool:
    """Whether the client is still there."""
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    finally:
        connection.setblocking(True)


def _pieces(data: bytes) -> Iterator[tuple[bool, bytes]]:
    """RTP payloads of one MPEG-4 picture (RFC 6416), and whether each is its last."""
    for at in range(0, len(data), _MOST):
        yield at + _MOST >= len(data), data[at : at + _MOST]


def _request(requests: object) -> tuple[str, str] | None:
    """Method and CSeq of the next request; None at the end of the connection."""
    method = sequence = ""
    while True:
        line = requests.readline().decode("latin-1").strip()  # type: ignore[attr-defined]
        if not line:
            return (method, sequence) if method else None
        if not method:
            method = line.split(" ", 1)[0]
        elif line.lower().startswith("cseq:"):
            sequence = line.split(":", 1)[1].strip()


def _fragments(nals: list[bytes]) -> Iterator[tuple[bool, bytes]]:
    """RTP payloads of one access unit, and whether each is its last."""
    for position, nal in enumerate(nals):
        end = position == len(nals) - 1
        if len(nal) <= _MOST:
            yield end, nal
            continue
        indicator, kind = (nal[0] & 0xE0) | 28, nal[0] & 0x1F
        pieces = [nal[at : at + _MOST] for at in range(1, len(nal), _MOST)]
        for index, piece in enumerate(pieces):
            last = index == len(pieces) - 1
            flags = (0x80 if index == 0 else 0) | (0x40 if last else 0) | kind
            yield end and last, bytes([indicator, flags]) + piece
