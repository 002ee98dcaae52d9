#!/usr/bin/python3
"""An RTSP camera made of a clip: serves an mp4's H.264 or H.265 access units, paced, without encoding anything.

Run by the Python that has PyGObject (Debian: `/usr/bin/python3` with `gir1.2-gst-rtsp-server-1.0 python3-gi
gstreamer1.0-plugins-good gstreamer1.0-plugins-bad`):

    rtsp.py CLIP [--h265] [--loop] [--shared] [--port 0] [--path /cam] [--user U --password P]

The first line on stdout is the port once the server listens. By default every client has the clip to itself
and sees it from its first frame, sent when the client plays; `--shared` behaves like a camera instead: one
stream runs on from the first PLAY and a client joins where it is. Not looped, the stream ends (RTCP BYE)
after the last frame.
"""

from __future__ import annotations

import argparse
import sys

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstApp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: F401
except (ImportError, ValueError) as missing:
    print(missing, file=sys.stderr)
    sys.exit(3)

PIPELINE = (
    "( appsrc name=units format=time is-live=false block=false max-bytes=4000000"
    " ! {codec}parse config-interval=-1 ! rtp{codec}pay name=pay0 pt=96 config-interval=-1 )"
)


class Clip:
    """The access units of a clip's video track, in decoding order, with their times in nanoseconds."""

    def __init__(self, path: str, codec: str) -> None:
        self.units = []
        pipeline = Gst.parse_launch(
            f"filesrc name=file ! qtdemux ! {codec}parse config-interval=-1"
            f" ! video/x-{codec},stream-format=byte-stream,alignment=au"
            " ! appsink name=out sync=false max-buffers=64"
        )
        pipeline.get_by_name("file").set_property("location", path)
        sink = pipeline.get_by_name("out")
        pipeline.set_state(Gst.State.PLAYING)
        self.caps = None
        while True:
            sample = sink.try_pull_sample(10 * Gst.SECOND)
            if sample is None:
                break
            buffer = sample.get_buffer()
            self.caps = sample.get_caps()
            self.units.append(
                (buffer.extract_dup(0, buffer.get_size()), buffer.pts, buffer.dts, buffer.duration)
            )
        pipeline.set_state(Gst.State.NULL)
        if not self.units:
            raise SystemExit(f"{path}: no track of {codec}")
        self.first_pts = min(unit[1] for unit in self.units)
        self.length = max(unit[1] + unit[3] for unit in self.units) - self.first_pts


class Feeder:
    """Feeds one pipeline; owns its place in the clip."""

    def __init__(self, clip: Clip, loop: bool) -> None:
        self._clip = clip
        self._loop = loop
        self._next = 0
        self._round = 0

    def need_data(self, source, _length) -> None:
        if self._next == len(self._clip.units):
            if not self._loop:
                source.emit("end-of-stream")
                return
            self._next = 0
            self._round += 1
        data, pts, dts, duration = self._clip.units[self._next]
        self._next += 1
        shift = self._round * self._clip.length - self._clip.first_pts
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = pts + shift
        buffer.dts = max(0, dts + shift) if dts != Gst.CLOCK_TIME_NONE else buffer.pts
        buffer.duration = duration
        source.emit("push-buffer", buffer)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("--h265", action="store_true")
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--path", default="/cam")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    args = parser.parse_args()
    Gst.init(None)
    codec = "h265" if args.h265 else "h264"
    clip = Clip(args.clip, codec)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE.format(codec=codec))
    factory.set_shared(args.shared)
    if args.shared:
        factory.set_suspend_mode(GstRtspServer.RTSPSuspendMode.NONE)
        factory.set_stop_on_disconnect(False)

    def configure(_factory, media) -> None:
        source = media.get_element().get_by_name_recurse_up("units")
        source.set_property("caps", clip.caps)
        feeder = Feeder(clip, args.loop)
        source.connect("need-data", feeder.need_data)

    factory.connect("media-configure", configure)
    if args.user:
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(2)  # GST_RTSP_AUTH_DIGEST
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_digest(args.user, args.password, token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory(args.path, factory)
    if server.attach(None) == 0:
        raise SystemExit(f"cannot listen on 127.0.0.1:{args.port}")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    sys.exit(main())
