"""Video files."""

from __future__ import annotations

from dataclasses import replace

from edgenode.capture.address import Address
from edgenode.capture.source import Grab, SourceInfo, SourceOptions
from edgenode.capture.stream import StreamSettings, VideoStream
from edgenode.errors import SourceEndedError, SourceError

_SHORT = 0.9
"""A file that ends before this part of its declared length is called cut short; headers are a little
wrong."""


class VideoFileSource:
    """A clip, read as fast as asked. Its media time comes from the file and runs on when it loops."""

    def __init__(self, address: Address, options: SourceOptions) -> None:
        self._settings = StreamSettings(
            target=f"file:{address.target}",  # the rest is taken literally: names may hold ? # : and %
            shown=address.shown,
            options={"protocol_whitelist": "file"},  # a playlist must not make the node open URLs
            open_timeout_s=options.open_timeout_s,
            read_timeout_s=options.read_timeout_s,
            live=False,
            keyframes_only=options.keyframes_only,
            turn=options.turn,
            gate=options.gate,
        )
        self._loop = options.loop
        self._offset_s = 0.0
        self._stream: VideoStream | None = VideoStream(self._settings)
        stream = self._stream
        self._info = SourceInfo(
            stream.width, stream.height, stream.fps, stream.codec, live=False, finite=not options.loop
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def read(self) -> Grab:
        stream = self._open_stream()
        try:
            grab = stream.read()
        except SourceEndedError:
            if stream.frames == 0:
                raise SourceError(f"{self._settings.shown} holds no picture that can be decoded") from None
            if not self._loop:
                raise SourceEndedError(self._ending(stream)) from None
            self._offset_s += stream.next_s
            self.close()
            self._settings = replace(self._settings, offset_s=self._offset_s)
            grab = self._open_stream().read()
        return grab

    def _open_stream(self) -> VideoStream:
        if self._stream is None:
            self._stream = VideoStream(self._settings)
        return self._stream

    def _ending(self, stream: VideoStream) -> str:
        text = f"{self._settings.shown} ended after {stream.frames} frames"
        if stream.next_s < _SHORT * stream.declared_s:
            return f"{text} and {stream.next_s:.1f} s of {stream.declared_s:.1f} s: it is cut short"
        return text

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
