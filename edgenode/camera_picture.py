"""One picture of a camera, masks applied: opened here, or asked of the node that has the camera open."""

from __future__ import annotations

from pathlib import Path

from edgenode.capture.masks import Masks
from edgenode.capture.opening import open_source
from edgenode.capture.source import SourceIdleError, SourceOptions
from edgenode.clock import SystemClock
from edgenode.errors import PictureError, SourceEndedError, SourceError
from edgenode.records import U8
from edgenode.settings import CameraSettings, Settings


def camera_picture(camera: CameraSettings, base_dir: Path, at_s: float = 0.0) -> U8:
    """Open the camera and take its first good picture, of a file the one at media second `at_s`.

    Raises SourceError, PictureError. Waits `read_timeout` at most for a good picture after the last good one.
    """
    options = SourceOptions(
        open_timeout_s=camera.open_timeout,
        read_timeout_s=camera.read_timeout,
        transport=camera.transport,
        follow=False,
        base_dir=base_dir,
    )
    clock = SystemClock()
    source = open_source(camera.source, options, clock)
    good_s = clock.monotonic()
    try:
        while True:
            try:
                grab = source.read()
            except SourceIdleError as error:
                raise SourceError(
                    f"camera {camera.name}: no picture within {camera.read_timeout:g} s"
                ) from error
            except SourceEndedError as error:
                raise SourceError(f"camera {camera.name}: ended before second {at_s:g}") from error
            if not grab.corrupt:
                good_s = clock.monotonic()
                if grab.media_s is None or grab.media_s >= at_s:
                    break
            elif clock.monotonic() - good_s > camera.read_timeout:
                raise SourceError(
                    f"camera {camera.name}: sends pictures, and none that is undamaged within "
                    f"{camera.read_timeout:g} s"
                )
        return Masks(camera.masks).apply(grab.rgb())
    finally:
        source.close()


def node_picture(settings: Settings, camera: str, timeout_s: float = 10.0) -> bytes:
    """A JPEG from the running node, over its broker. Raises LinkError, RefusedError."""
    from edgenode.delivery.asking import ask_for_picture

    return ask_for_picture(settings.mqtt, settings.node.name, camera, timeout_s)


def still_or_clip(path: Path) -> bool:
    """Whether `path` is one picture rather than a clip."""
    from edgenode.capture.pictures import PICTURE_SUFFIXES

    return path.suffix.lower() in PICTURE_SUFFIXES


def read_still(path: Path) -> U8:
    """Raises PictureError."""
    from edgenode.capture.pictures import decode_picture

    try:
        return decode_picture(path.read_bytes())
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror or error}") from error
