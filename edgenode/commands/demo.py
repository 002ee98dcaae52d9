"""`edgenode demo`: see it work, with nothing configured."""

from __future__ import annotations

from importlib.util import find_spec

import click

from edgenode.errors import EdgeNodeError


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1.0), help="End by itself after so long.")
@click.option("--json", "as_json", is_flag=True, help="Print only one JSON summary, at the end.")
@click.option(
    "--seed",
    default=7,
    show_default=True,
    type=click.IntRange(0, 9999),
    help="Another line, another junction.",
)
@click.option(
    "--fps", default=10.0, show_default=True, type=click.FloatRange(1.0, 30.0), help="Pictures a second."
)
@click.option(
    "--http-port",
    default=9464,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="For /metrics; 0: any.",
)
def demo_command(seconds: float | None, as_json: bool, seed: int, fps: float, http_port: int) -> None:
    """Run a whole node on drawn scenes whose truth is known: a conveyor and a road junction.

    Two cameras, three bundled models, two rules, an embedded broker; no configuration, no network.
    Ctrl-C ends it.
    """
    missing = [name for name in ("amqtt", "rich") if find_spec(name) is None]
    if missing:
        raise EdgeNodeError(f"the demo needs {' and '.join(missing)}: pip install 'edgenode[demo]'")
    from edgenode.demo.run import DemoOptions, run_demo

    run_demo(DemoOptions(seconds, as_json, seed, fps, http_port))
