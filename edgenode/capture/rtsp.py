"""Cameras over RTSP."""

from __future__ import annotations

from edgenode.capture.address import Address
from edgenode.capture.source import Grab, SourceInfo, SourceOptions
from edgenode.capture.stream import StreamSettings, VideoStream
from edgenode.errors import SourceEndedError, SourceError


class RtspSource:
    """An H.264 or H.265 (or any other FFmpeg knows) stream over RTSP. Raises as `Source` does.

    The frame rate is not probed: probing holds back the first 0.7 to 1.9 s of the stream and hands them out
    in one burst, as if they were new; without it opening takes 0.1 s.
    """

    def __init__(self, address: Address, options: SourceOptions) -> None:
        self._shown = address.shown
        self._stream = VideoStream(
            StreamSettings(
                target=address.target,
                shown=address.shown,
                options={"rtsp_transport": options.transport, "fpsprobesize": "0"},
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
