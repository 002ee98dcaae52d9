"""The machine's temperature, from sysfs; absent where no sensor can be read.

Thermal zones (`/sys/class/thermal/thermal_zone*/temp`) and, where there is none, the hwmon channels of processors.
Units: docs.kernel.org `driver-api/thermal/sysfs-api` and `hwmon/sysfs-interface` (both m°C).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_PROCESSORS = frozenset({"coretemp", "k10temp", "zenpower", "cpu_thermal"})
_PLAUSIBLE = (-40.0, 150.0)
"""A sensor that is not there answers with numbers like −273 or 6553."""


def temperatures(
    thermal: Path = Path("/sys/class/thermal"), hwmon: Path = Path("/sys/class/hwmon")
) -> dict[str, float]:
    """Zone to °C. Zones of one type are numbered."""
    found: dict[str, float] = {}
    for entry in _entries(thermal, "thermal_zone*"):
        _add(found, _text(entry / "type") or entry.name, entry / "temp")
    if found:
        return found
    for chip in _entries(hwmon, "hwmon*"):
        name = _text(chip / "name") or ""
        if name in _PROCESSORS:
            for channel in _entries(chip, "temp*_input"):
                label = _text(chip / channel.name.replace("_input", "_label"))
                _add(found, f"{name}/{label or channel.name.removesuffix('_input')}", channel)
    return found


def hottest() -> float | None:
    """°C of the hottest sensor; None where there is none."""
    return max(temperatures().values(), default=None)


class Temperature(Collector):
    """`edgenode_temperature_celsius{zone}`, read at each scrape."""

    def __init__(self, read: Callable[[], dict[str, float]] = temperatures) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "edgenode_temperature_celsius", "Temperature of the machine's sensors.", labels=["zone"]
        )
        for zone, celsius in sorted(self._read().items()):
            family.add_metric([zone], celsius)
        if family.samples:
            yield family

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily("edgenode_temperature_celsius", "")]


def _add(found: dict[str, float], zone: str, path: Path) -> None:
    text = _text(path)
    try:
        celsius = int(text) / 1000.0 if text else None
    except ValueError:
        return
    if celsius is None or not _PLAUSIBLE[0] < celsius < _PLAUSIBLE[1]:
        return
    name, number = zone, 2
    while name in found:
        name, number = f"{zone}_{number}", number + 1
    found[name] = celsius


def _entries(root: Path, pattern: str) -> list[Path]:
    try:
        return sorted(root.glob(pattern))
    except OSError:
        return []


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
