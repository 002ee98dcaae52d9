"""Clips as RTSP cameras, their packets as they are: a program for the Python that has PyGObject and GStreamer.

`/usr/bin/python3 rtsp_serve.py CLIP…` serves clip n, over and over, at rtsp://127.0.0.1:PORT/camera_n, and prints the
port. Exits with 3 where GStreamer's RTSP server is not installed. Imports nothing of this package.
"""

from __future__ import annotations

import sys
from typing import Any

_MISSING = 3
_CUT = (
    'filesrc location="{}" ! qtdemux ! h264parse config-interval=-1 '
    "! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out sync=false max-buffers=64"
)
_SERVE = (
    "( appsrc name=units format=time is-live=false block=false max-bytes=1000000 "
    "! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


def _units(gst: Any, clip: str) -> tuple[Any, list[tuple[bytes, int, int]]]:
    """The stream's caps and its access units: bytes, time and length in nanoseconds."""
    pipeline = gst.parse_launch(_CUT.format(clip))
    sink = pipeline.get_by_name("out")
    pipeline.set_state(gst.State.PLAYING)
    found: list[tuple[bytes, int, int]] = []
    caps = None
    while (sample := sink.try_pull_sample(10 * gst.SECOND)) is not None:
        data, caps = sample.get_buffer(), sample.get_caps()
        found.append((data.extract_dup(0, data.get_size()), data.pts, data.duration))
    pipeline.set_state(gst.State.NULL)
    if not found:
        sys.exit(f"{clip}: no H.264")
    return caps, found


def _factory(gst: Any, rtsp: Any, clip: str) -> Any:
    caps, units = _units(gst, clip)
    length = units[-1][1] + units[-1][2] - units[0][1]

    def configure(_factory: Any, media: Any) -> None:
        source = media.get_element().get_by_name_recurse_up("units")
        source.set_property("caps", caps)
        place = [0]

        def feed(source: Any, _wanted: int) -> None:
            rounds, index = divmod(place[0], len(units))
            place[0] += 1
            data, pts, duration = units[index]
            buffer = gst.Buffer.new_wrapped(data)
            buffer.pts = buffer.dts = pts - units[0][1] + rounds * length
            buffer.duration = duration
            source.emit("push-buffer", buffer)

        source.connect("need-data", feed)

    factory = rtsp.RTSPMediaFactory()
    factory.set_launch(_SERVE)
    factory.connect("media-configure", configure)
    return factory


def _main(clips: list[str]) -> None:
    try:
        import gi

        gi.require_version("GstApp", "1.0")
        gi.require_version("GstRtspServer", "1.0")
        from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: F401 - GstApp gives appsink its calls
    except (ImportError, ValueError) as missing:
        sys.stderr.write(f"{missing}\n")
        sys.exit(_MISSING)
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    for number, clip in enumerate(clips):
        server.get_mount_points().add_factory(f"/camera_{number}", _factory(Gst, GstRtspServer, clip))
    if server.attach(None) == 0:
        sys.exit("no port to listen on")
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    _main(sys.argv[1:])
