"""Reads the machine's own power meters from sysfs. What cannot be read does not exist; nothing is estimated.

- RAPL (`/sys/class/powercap`): the processor's energy counters, Intel and AMD. Readable by root alone since
  CVE-2020-8694 unless an udev rule says otherwise. Scope: package and memory, not the board.
- hwmon (`/sys/class/hwmon`): power and energy sensors of boards; INA chips, whose voltage and current of one
  number belong together. Scope: whatever the rail feeds.
- battery (`/sys/class/power_supply`): what flows out of a battery while it discharges. Scope: the device.

Units: docs.kernel.org `power/powercap` (µJ), `hwmon/sysfs-interface` (µW, µJ, mV, mA),
`power/power_supply_class` (µW, µA, µV).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

RAPL, HWMON, BATTERY = "rapl", "hwmon", "battery"
_ZONE = re.compile(r"^(?P<top>[a-z-]+-rapl(?:-mmio)?:\d+)(?P<sub>:\d+)?$")
_CHANNEL = re.compile(r"^(power|energy|curr)(\d+)_(?:input|average)$")
_ODD = re.compile(r"[^A-Za-z0-9_.:/-]+")
_BOARD_INPUTS = frozenset({"VDD_IN", "POM_5V_IN"})
"""Labels of rails that carry everything (NVIDIA Jetson boards); other rails of such a board are parts of
them."""


@dataclass(frozen=True, slots=True)
class EnergyCounter:
    """A meter that counts µJ. `range_uj` is where it wraps; None where that is not known."""

    source: str
    domain: str
    path: Path
    range_uj: int | None
    is_total: bool
    """Whether it belongs in the sum of its source's power: no other counter of the sum contains it."""

    def read_uj(self) -> int | None:
        return _integer(self.path)


@dataclass(frozen=True, slots=True)
class PowerSensor:
    """A meter that says W now, from one file in µW or from a voltage and a current."""

    source: str
    domain: str
    factors: tuple[Path, ...]
    scale: float
    is_total: bool
    while_discharging: Path | None = None

    def read_w(self) -> float | None:
        if self.while_discharging is not None and _text(self.while_discharging) != "Discharging":
            return None
        product = self.scale
        for path in self.factors:
            value = _integer(path)
            if value is None:
                return None
            product *= value
        # Some battery drivers give the current of a discharge a minus sign.
        return abs(product) if self.source == BATTERY else product


def rapl_counters(root: Path = Path("/sys/class/powercap")) -> list[EnergyCounter]:
    """The readable zones. `intel-rapl-mmio` shows the same package a second time and is left out."""
    zones: list[EnergyCounter] = []
    for entry in _entries(root):
        match = _ZONE.match(entry.name)
        name = _text(entry / "name")
        if match is None or name is None or "-mmio" in entry.name or _integer(entry / "energy_uj") is None:
            continue
        parent = _text(root / match["top"] / "name") if match["sub"] else None
        zones.append(
            EnergyCounter(
                source=RAPL,
                domain=_clean(name if parent is None else f"{parent}/{name}"),
                path=entry / "energy_uj",
                range_uj=_integer(entry / "max_energy_range_uj"),
                # Core and uncore are inside their package, memory is beside it, and psys contains all.
                is_total=name.startswith("package") or name == "dram",
            )
        )
    return zones


def hwmon_meters(root: Path = Path("/sys/class/hwmon")) -> list[EnergyCounter | PowerSensor]:
    """Every power or energy channel of every chip, and voltage × current of INA chips without a power
    channel.

    A total is a rail known to carry the whole board, or the only channel of the machine.
    """
    found = [(chip, kind, n) for chip in _entries(root) for kind, n in _channels(chip)]
    labels = {_label(chip, n) for chip, _, n in found}
    board = labels & _BOARD_INPUTS
    meters: list[EnergyCounter | PowerSensor] = []
    taken: set[str] = set()
    for chip, kind, n in found:
        label = _label(chip, n)
        domain = _clean(f"{_text(chip / 'name') or chip.name}/{label or f'{kind}{n}'}")
        if domain in taken:
            domain = f"{domain}:{chip.name}"
        taken.add(domain)
        is_total = label in board if board else len(found) == 1
        if kind == "energy":
            meters.append(EnergyCounter(HWMON, domain, chip / f"energy{n}_input", None, is_total))
        elif kind == "power":
            average = chip / f"power{n}_average"
            path = chip / f"power{n}_input" if (chip / f"power{n}_input").exists() else average
            meters.append(PowerSensor(HWMON, domain, (path,), 1e-6, is_total))
        else:
            factors = (chip / f"in{n}_input", chip / f"curr{n}_input")
            meters.append(PowerSensor(HWMON, domain, factors, 1e-6, is_total))
    return meters


def batteries(root: Path = Path("/sys/class/power_supply")) -> list[PowerSensor]:
    """Batteries that feed the machine; those of mice and keyboards have the scope `Device`."""
    sensors: list[PowerSensor] = []
    for entry in _entries(root):
        if _text(entry / "type") != "Battery" or _text(entry / "scope") == "Device":
            continue
        if _integer(entry / "power_now") is not None:
            factors: tuple[Path, ...] = (entry / "power_now",)
            scale = 1e-6
        elif _integer(entry / "current_now") is not None and _integer(entry / "voltage_now") is not None:
            factors, scale = (entry / "current_now", entry / "voltage_now"), 1e-12
        else:
            continue
        sensors.append(PowerSensor(BATTERY, _clean(entry.name), factors, scale, True, entry / "status"))
    return sensors


def _channels(chip: Path) -> Iterable[tuple[str, int]]:
    """(kind, number) of the chip's channels: an energy counter rather than its power, power rather than U ×
    I."""
    kinds: dict[int, set[str]] = {}
    for entry in _entries(chip):
        match = _CHANNEL.match(entry.name)
        if match is not None and _integer(entry) is not None:
            kinds.setdefault(int(match[2]), set()).add(match[1])
    is_ina = (_text(chip / "name") or "").startswith("ina")
    has_power = any({"power", "energy"} & found for found in kinds.values())
    for n, found in sorted(kinds.items()):
        if "energy" in found:
            yield "energy", n
        elif "power" in found:
            yield "power", n
        elif is_ina and not has_power and _integer(chip / f"in{n}_input") is not None:
            yield "curr", n


def _label(chip: Path, n: int) -> str | None:
    for kind in ("power", "energy", "in", "curr"):
        label = _text(chip / f"{kind}{n}_label")
        if label:
            return label
    return None


def _clean(text: str) -> str:
    return _ODD.sub("_", text)[:64]


def _entries(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _integer(path: Path) -> int | None:
    text = _text(path)
    try:
        return int(text) if text else None
    except ValueError:
        return None
