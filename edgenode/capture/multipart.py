"""The `multipart/x-mixed-replace` streams that cameras call MJPEG, cut into their parts."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message

from edgenode.errors import SourceError

MAX_HEADER_BYTES = 16 * 1024
_CHUNK = 64 * 1024
_MAX_DIGITS = 18


def boundary_of(content_type: str) -> bytes:
    """The delimiter of the parts, without leading dashes: cameras disagree on who writes them. b"" if
    none."""
    message = Message()
    message["content-type"] = content_type
    value = message.get_param("boundary", "")
    return str(value).strip().lstrip("-").encode("latin-1", "replace")


class MultipartReader:
    """Cuts a byte stream into parts. `more` returns the next bytes, b"" at the end; it may raise.

    Parts with a Content-Length are taken by it; others end at the next boundary. Tolerates a missing first
    boundary, bare line feeds and stray bytes between parts. Every buffer is bounded by `max_part_bytes`:
    beyond it SourceError.
    """

    def __init__(self, more: Callable[[int], bytes], boundary: bytes, max_part_bytes: int) -> None:
        self._more = more
        self._delimiter = b"--" + boundary
        self._max_part_bytes = max_part_bytes
        self._buffer = bytearray()

    def next_part(self) -> bytes | None:
        """The body of the next part that is not empty; None at the end of the stream."""
        while True:
            headers = self._headers()
            if headers is None:
                return None
            length = headers.get(b"content-length", b"")
            # Python refuses to read a number of thousands of digits, in words that mean something else
            known = length.isdigit() and len(length) <= _MAX_DIGITS
            body = self._exactly(int(length)) if known else self._to_delimiter()
            if body is None:
                return None
            if body:
                return body

    def _fill(self) -> bool:
        chunk = self._more(_CHUNK)
        self._buffer += chunk
        return bool(chunk)

    def _headers(self) -> dict[bytes, bytes] | None:
        """The header lines after the next delimiter, names in lower case."""
        if not self._skip_past_delimiter():
            return None
        headers: dict[bytes, bytes] = {}
        total = 0
        while True:
            line = self._line()
            if line is None:
                return None
            total += len(line)
            if total > MAX_HEADER_BYTES:
                raise SourceError("the MJPEG stream's part headers are too long: not an MJPEG stream?")
            if not line:
                return headers
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()

    def _skip_past_delimiter(self) -> bool:
        skipped = 0
        while (at := self._buffer.find(self._delimiter)) < 0:
            spare = max(0, len(self._buffer) - len(self._delimiter))
            skipped += spare
            if skipped > self._max_part_bytes:
                raise SourceError("the MJPEG stream never shows its boundary")
            del self._buffer[:spare]
            if not self._fill():
                return False
        del self._buffer[: at + len(self._delimiter)]
        return self._line() is not None  # the rest of the delimiter's line

    def _line(self) -> bytes | None:
        while (at := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise SourceError("the MJPEG stream's part headers are too long: not an MJPEG stream?")
            if not self._fill():
                return None
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        return line.rstrip(b"\r")

    def _exactly(self, length: int) -> bytes | None:
        if length > self._max_part_bytes:
            raise SourceError(f"the MJPEG stream announces a picture of {length} bytes")
        while len(self._buffer) < length:
            if not self._fill():
                return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _to_delimiter(self) -> bytes | None:
        start = 0
        while (at := self._buffer.find(self._delimiter, start)) < 0:
            start = max(0, len(self._buffer) - len(self._delimiter))
            if len(self._buffer) > self._max_part_bytes:
                raise SourceError(f"the MJPEG stream shows no boundary within {self._max_part_bytes} bytes")
            if not self._fill():
                return None
        body = bytes(self._buffer[:at])
        del self._buffer[:at]
        return body.removesuffix(b"\n").removesuffix(b"\r")
