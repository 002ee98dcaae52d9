"""`edgenode snapshot`: one picture of a camera as the node sees it, masks applied, regions drawn if asked."""

from __future__ import annotations

from pathlib import Path

import click

from edgenode.cli import config_option, proven
from edgenode.errors import ConfigurationError
from edgenode.nearest import suggestion


@click.command("snapshot")
@config_option
@click.option("--camera", "name", required=True, help="Name of the camera.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="JPEG to write.")
@click.option("--draw", is_flag=True, help="Draw the regions with their names.")
@click.option("--at", "at_s", type=click.FloatRange(min=0.0), default=0.0, help="Media second, of a file.")
def snapshot_command(config_path: Path, name: str, out: Path, draw: bool, at_s: float) -> None:
    """Open one camera of a configuration, take one picture and write it."""
    loaded = proven(config_path)
    from edgenode.camera_picture import camera_picture
    from edgenode.capture.regions import RegionCutter, draw_regions
    from edgenode.capture.snapshot import encode_snapshot
    from edgenode.decision_setup import model_of, regions_of

    settings = loaded.settings
    camera = next((each for each in settings.cameras if each.name == name), None)
    if camera is None:
        names = [each.name for each in settings.cameras]
        raise ConfigurationError(
            [f"no camera {name!r}{suggestion(name, names)} (there are: {', '.join(names)})"]
        )
    picture = camera_picture(camera, loaded.base_dir, at_s)
    if draw:
        cutters = [
            RegionCutter(region.name, model_of(region, settings) or "", region, lambda cut: cut)
            for region in regions_of(camera)
        ]
        picture = draw_regions(picture, cutters, {})
    out.write_bytes(encode_snapshot(picture))
    click.echo(f"{out}: {picture.shape[1]}x{picture.shape[0]} pixels")
