"""Cameras over HTTP: MJPEG streams and still pictures, told apart by what the camera answers."""

from __future__ import annotations

import http.client
import select
import threading
from functools import partial

from edgenode.capture.address import Address
from edgenode.capture.freshness import LATE_S
from edgenode.capture.multipart import MultipartReader, boundary_of
from edgenode.capture.picture_header import picture_size
from edgenode.capture.pictures import decode_picture
from edgenode.capture.source import IDLE_S, Grab, Source, SourceIdleError, SourceInfo, SourceOptions
from edgenode.capture.web import WebClient
from edgenode.clock import Clock
from edgenode.errors import PictureError, SourceError, SourceRefusedError
from edgenode.records import U8

MAX_PICTURE_BYTES = 16 * 2**20
_PAUSE_MS = 5
"""A pause in the data that is longer than a round trip: nothing waits in buffers on either side."""
_PICTURES = ("image/", "application/octet-stream", "binary/octet-stream")


def open_http(address: Address, options: SourceOptions, clock: Clock) -> Source:
    """Ask once, and return the source that the answer's content type calls for."""
    client = WebClient(address.target, options.open_timeout_s, options.read_timeout_s)
    response = client.get({})
    if response is None:
        raise SourceError(f"{client.shown} answered 304 to a request without conditions")
    kind = response.headers.get_content_type()
    if response.headers.get_content_maintype() == "multipart":
        return MjpegSource(client, response, options, clock)
    if kind.startswith(_PICTURES):
        return StillSource(client, response, options, clock)
    response.close()
    raise SourceRefusedError(f"{client.shown} answers with {kind}: neither an MJPEG stream nor a picture")


class _Body:
    """Reads an answer in pieces, all within one deadline, with its errors in our words."""

    def __init__(
        self, response: http.client.HTTPResponse, shown: str, timeout_s: float, clock: Clock
    ) -> None:
        self._response = response
        self._shown = shown
        self._timeout_s = timeout_s
        self._clock = clock
        self._deadline_s = 0.0
        self.waited_at_s = clock.monotonic()
        """When there was last nothing to read: what has been read since arrived since."""
        self._ready = select.poll()
        self._ready.register(response.fileno(), select.POLLIN)

    def restart(self) -> None:
        """A new picture begins: the timeout counts from here."""
        self._deadline_s = self._clock.monotonic() + self._timeout_s

    def more(self, size: int) -> bytes:
        if self._clock.monotonic() > self._deadline_s:
            raise SourceError(f"{self._shown}: no complete picture within {self._timeout_s:g} s")
        try:
            if not self._ready.poll(_PAUSE_MS):
                self.waited_at_s = self._clock.monotonic()
            return self._response.read1(size)
        except TimeoutError:
            raise SourceError(f"{self._shown}: no data for {self._timeout_s:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceError(f"{self._shown} broke off: {type(error).__name__}") from None

    def close(self) -> None:
        self._response.close()


class MjpegSource:
    """A multipart stream of JPEGs. A picture that nobody asks for is never decoded. The stream has no
    clock: where the reader never had to wait for it for `LATE_S`, its pictures are old, and passed over."""

    def __init__(
        self, client: WebClient, response: http.client.HTTPResponse, options: SourceOptions, clock: Clock
    ) -> None:
        self._shown = client.shown
        self._clock = clock
        self._body = _Body(response, client.shown, options.read_timeout_s, clock)
        boundary = boundary_of(response.headers.get("content-type", ""))
        self._parts = MultipartReader(self._body.more, boundary, MAX_PICTURE_BYTES)
        try:
            self._first: Grab | None = self.read_part()
            width, height = _size(self._first)
        except BaseException:
            response.close()
            raise
        self._info = SourceInfo(width, height, 0.0, "mjpeg", live=True, finite=False)

    @property
    def info(self) -> SourceInfo:
        return self._info

    def read(self) -> Grab:
        first, self._first = self._first, None
        return first if first is not None else self.read_part()

    def read_part(self) -> Grab:
        """The next part of the stream as a grab."""
        self._body.restart()
        part = self._parts.next_part()
        if part is None:
            raise SourceError(f"{self._shown}: the camera ended the stream")
        if self._clock.monotonic() - self._body.waited_at_s > LATE_S:
            return Grab(None, True, False, len(part), partial(_decode, part), skipped=True, late=True)
        return _grab(part, None)

    def close(self) -> None:
        self._body.close()


class StillSource:
    """A picture asked for again and again, every `poll_s`. An unchanged one (304) is not handed out again.

    Media time is the instant of the request.
    """

    def __init__(
        self, client: WebClient, response: http.client.HTTPResponse, options: SourceOptions, clock: Clock
    ) -> None:
        self._client = client
        self._options = options
        self._clock = clock
        self._closed = threading.Event()
        self._conditions: dict[str, str] = {}
        self._opened_s = self._asked_s = clock.monotonic()
        self._first: Grab | None = self._picture(response)
        width, height = _size(self._first)
        self._info = SourceInfo(width, height, 0.0, "still", live=True, finite=False)

    @property
    def info(self) -> SourceInfo:
        return self._info

    def read(self) -> Grab:
        first, self._first = self._first, None
        if first is not None:
            return first
        pause_s = self._asked_s + self._options.poll_s - self._clock.monotonic()
        if self._clock.wait(self._closed, max(0.0, min(pause_s, IDLE_S))):
            raise SourceError(f"{self._client.shown} is closed")
        if pause_s <= IDLE_S:
            self._asked_s = self._clock.monotonic()
            response = self._client.get(self._conditions)
            if response is not None:
                return self._picture(response)
        raise SourceIdleError(f"{self._client.shown} has no new picture")

    def _picture(self, response: http.client.HTTPResponse) -> Grab:
        body = _Body(response, self._client.shown, self._options.read_timeout_s, self._clock)
        body.restart()
        data = bytearray()
        try:
            while chunk := body.more(64 * 1024):
                data += chunk
                if len(data) > MAX_PICTURE_BYTES:
                    raise SourceRefusedError(
                        f"{self._client.shown} sends more than {MAX_PICTURE_BYTES} bytes for one picture"
                    )
        finally:
            response.close()
        self._conditions = {
            condition: value
            for condition, header in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
            if (value := response.headers.get(header))
        }
        return _grab(bytes(data), self._asked_s - self._opened_s)

    def close(self) -> None:
        self._closed.set()


def _grab(data: bytes, media_s: float | None) -> Grab:
    return Grab(
        media_s=media_s,
        keyframe=True,
        corrupt=not _whole(data),
        packet_bytes=len(data),
        picture=partial(_decode, data),
    )


def _decode(data: bytes) -> U8:
    return decode_picture(data)


def _whole(data: bytes) -> bool:
    try:
        picture_size(data)
    except PictureError:
        return False
    return True


def _size(grab: Grab) -> tuple[int, int]:
    try:
        height, width = grab.rgb().shape[:2]
    except PictureError:
        return 0, 0
    return width, height
