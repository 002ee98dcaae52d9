"""Cameras over RTSP."""

from __future__ import annotations

from edgenode.capture.address import Address
from edgenode.capture.source import Grab, SourceInfo, SourceOptions
from edgenode.capture.stream import StreamSettings, VideoStream
from edgenode.errors import SourceEndedError, SourceError


class RtspSource:
    """An H.264 or H.265 (or any other FFmpeg knows) stream over RTSP. Raises as `Source` does.

    Nothing is probed: probing holds back the first frames (eight of them: 4 s of a stream of two a second, more
    than the open timeout of one a second) and hands them out in one burst, as if they were new.
    """

    def __init__(self, address: Address, options: SourceOptions) -> None:
        self._shown = address.shown
        self._stream = VideoStream(
            StreamSettings(
                target=address.target,
                shown=address.shown,
                options={"rtsp_transport": options.transport, "fpsprobesize": "0", "probesize": "32"},
                open_timeout_s=options.open_timeout_s,
                read_timeout_s=options.read_timeout_s,
                live=True,
                keyframes_only=options.keyframes_only,
                turn=options.turn,
                hurry=options.hurry,
                gate=options.gate,
                enough_fps=options.enough_fps,
            )
        )
        stream = self._stream
        self._info = SourceInfo(
            stream.width, stream.height, stream.fps, stream.codec, live=True, finite=False
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def read(self) -> Grab:
        try:
            return self._stream.read()
        except SourceEndedError:
            raise SourceError(f"{self._shown}: the camera ended the stream") from None

    def close(self) -> None:
        self._stream.close()
