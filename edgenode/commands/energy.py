"""`edgenode energy`: which meters this machine has, and calibrating it where it has none."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from os import sched_getaffinity
from pathlib import Path

import click

from edgenode.cli import config_option


@click.group("energy")
def energy_group() -> None:
    """What this machine draws, and how that is known."""


@energy_group.command("meters")
@click.option(
    "--seconds", type=click.FloatRange(0.5, 60.0), default=2.0, show_default=True, help="To watch them."
)
def meters_command(seconds: float) -> None:
    """List the meters this user may read, and what they show."""
    from edgenode.telemetry.energy import EnergyMeter
    from edgenode.telemetry.temperature import temperatures

    meter = EnergyMeter.of_this_machine()
    meter.sample()
    time.sleep(seconds)  # what is measured is this stretch of time
    families = {family.name: family for family in meter.collect()}
    for sample in families["edgenode_energy_joules"].samples if families else ():
        labels = sample.labels
        click.echo(f"{labels['source']:8} {labels['domain']:32} {sample.value / seconds:9.3f} W")
    if not families:
        click.echo("no meter can be read (docs/energy.md says why that may be, and what to do)")
    for zone, celsius in sorted(temperatures().items()):
        click.echo(f"{'heat':8} {zone:32} {celsius:9.1f} °C")


@energy_group.command("calibrate")
@config_option
@click.option(
    "--watts",
    type=(float, float),
    metavar="IDLE BUSY",
    help="What the meter showed, if you know already how it will.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1.0, 600.0),
    default=20.0,
    show_default=True,
    help="Each of the two phases.",
)
@click.option("--write", is_flag=True, help="Put the result into the configuration; a copy stays beside it.")
def calibrate_command(
    config_path: Path, watts: tuple[float, float] | None, seconds: float, write: bool
) -> None:
    """Teach the node what this machine draws, with a power meter at its plug.

    First the machine is left alone, then all its cores are kept busy; each time the meter's reading is asked for.
    """
    from edgenode.configuration.edit import toml_lines, write_values
    from edgenode.telemetry.cpu_power import Point, calibrated

    cores = len(sched_getaffinity(0))
    points = []
    for phase, text in enumerate(("the machine is left alone", f"{cores} cores are kept busy")):
        with ExitStack() as stack:
            if phase:
                stack.enter_context(_busy(cores))
            click.echo(
                f"{phase + 1} of 2: {text} for {seconds:g} s; read the average power at the plug", err=True
            )
            busy_cores = _busy_cores(seconds)
        shown = (
            watts[phase]
            if watts is not None
            else click.prompt("watts", type=click.FloatRange(min=0.0, min_open=True), err=True)
        )
        points.append(Point(shown, busy_cores))
        click.echo(f"{busy_cores:.2f} cores were busy at {shown:g} W", err=True)
    try:
        idle_watts, core_watts = calibrated(*points)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    values: dict[str, str | int | float] = {
        "idle_watts": round(idle_watts, 2),
        "core_watts": round(core_watts, 2),
    }
    click.echo(toml_lines("energy", values))
    if write:
        saved = write_values(config_path, "energy", values)
        click.echo(
            f"written to {config_path}; what was there is in {saved}. Restart the node to use it.", err=True
        )


def _busy_cores(seconds: float) -> float:
    """How many cores were busy on average over the next `seconds`."""
    from edgenode.telemetry.processor_time import busy_seconds

    before, began_s = busy_seconds(), time.monotonic()
    time.sleep(seconds)  # what is measured is this stretch of time
    after, took_s = busy_seconds(), time.monotonic() - began_s
    if before is None or after is None:
        raise click.ClickException("/proc/stat cannot be read: how busy the cores are is not known")
    return (after - before) / took_s


@contextmanager
def _busy(cores: int) -> Iterator[None]:
    """`cores` processes that compute for nothing. Threads would wait for Python's lock."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        running += [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()
