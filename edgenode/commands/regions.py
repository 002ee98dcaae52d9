"""`edgenode regions`: a page on this machine on which a person draws regions and masks."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgenode.cli import DEFAULT_CONFIG, proven
from edgenode.errors import ConfigurationError
from edgenode.nearest import suggestion
from edgenode.settings import CameraSettings, Settings

if TYPE_CHECKING:
    from edgenode.drawing.desk import Subject


@click.command("regions")
@click.argument("source", required=False)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="EDGENODE_CONFIG",
    help=f"The configuration file with the camera.  [default: {DEFAULT_CONFIG}]",
)
@click.option("--camera", "name", help="Name of the camera; may be left out if there is only one.")
@click.option("--at", "at_s", type=click.FloatRange(min=0.0), default=0.0, help="Media second, of a file.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: any that is free.")
def regions_command(
    source: str | None, config_path: Path | None, name: str | None, at_s: float, port: int
) -> None:
    """Draw the regions and masks of a camera on a picture of it, and copy the TOML.

    SOURCE is an address, a clip or a picture; without it the picture is of a camera of the configuration, taken by the
    running node where there is one. Nothing is written. The link works once; from another machine:
    `ssh -L 8000:127.0.0.1:8000 gateway` with --port 8000. Ctrl-C ends it.
    """
    from edgenode.drawing.desk import RegionsDesk
    from edgenode.pages.server import PageServer

    if source is not None and config_path is None:
        subject, take = _of_source(source, name or "camera_1", at_s)
    else:
        subject, take = _of_config(config_path or DEFAULT_CONFIG, name, source, at_s)
    desk = RegionsDesk(subject, take)
    desk.refresh()
    server = PageServer.of_command(
        "regions", desk, port, lambda link: click.echo(f"The link had been used; a new one:\n  {link}")
    )
    server.start()
    try:
        click.echo(f"Open on this machine:\n  {server.link}")
        click.echo("Ctrl-C ends it.")
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo()
    finally:
        server.stop()


def _of_source(source: str, name: str, at_s: float) -> tuple[Subject, Callable[[], bytes]]:
    from edgenode.drawing.desk import Subject

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        raise click.BadParameter("a name has lower-case letters, digits and _", param_hint="--camera")
    camera = CameraSettings(name=name, source=source)
    return Subject(camera, (), None), lambda: _picture(camera, Path.cwd(), at_s)


def _of_config(
    config_path: Path, name: str | None, source: str | None, at_s: float
) -> tuple[Subject, Callable[[], bytes]]:
    from edgenode.camera_picture import node_picture
    from edgenode.drawing.desk import Subject
    from edgenode.host import running_process

    loaded = proven(config_path)
    settings = loaded.settings
    camera = _camera(settings, name)
    subject = Subject(camera, tuple(settings.models), str(config_path))
    if source is not None:
        shown = camera.model_copy(update={"source": source})
        return subject, lambda: _picture(shown, Path.cwd(), at_s)
    if running_process(settings.node.state_dir) is not None and settings.mqtt.host != "embedded":
        return subject, lambda: node_picture(settings, camera.name)
    return subject, lambda: _picture(camera, loaded.base_dir, at_s)


def _picture(camera: CameraSettings, base_dir: Path, at_s: float) -> bytes:
    import cv2

    from edgenode.camera_picture import camera_picture, read_still, still_or_clip
    from edgenode.capture.masks import Masks
    from edgenode.capture.snapshot import encode_snapshot

    path = base_dir / camera.source
    if "://" not in camera.source and path.is_file() and still_or_clip(path):
        picture = Masks(camera.masks).apply(read_still(path))
    else:
        picture = camera_picture(camera, base_dir, at_s)
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return bytes(data.tobytes()) if ok else encode_snapshot(picture)


def _camera(settings: Settings, name: str | None) -> CameraSettings:
    names = [camera.name for camera in settings.cameras]
    if name is None and len(names) == 1:
        return settings.cameras[0]
    if name not in names:
        what = f"no camera {name!r}{suggestion(name, names)}" if name is not None else "say --camera"
        raise ConfigurationError([f"{what} (there are: {', '.join(names) or 'none'})"])
    return settings.cameras[names.index(name)]
