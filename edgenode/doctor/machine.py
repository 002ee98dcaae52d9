"""The machine: clock, disk, open files, energy meters."""

from __future__ import annotations

import os
import resource
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from edgenode.clock import SystemClock
from edgenode.delivery.identity import ClockCheck
from edgenode.doctor.finding import Finding, Level
from edgenode.doctor.unit import Unit
from edgenode.host import unwritable
from edgenode.settings import Settings
from edgenode.telemetry.energy_sources import batteries, hwmon_meters, rapl_counters

_SYNCS = 15
_SLOW_SYNC_S = 0.05
_STEP_S = 0.05
_BUILT_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""No node runs before this: a clock that says so stands at its battery's beginning."""
_MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs", "overlay"})
_FILES_A_CAMERA, _FILES_ELSE = 12, 128
_ROOM = 1.5
"""Free space over `outbox.max_size` from which nothing is said."""


class ClockWatch:
    """Notes both clocks at its making; `examine` compares them later, so that a step in between shows."""

    def __init__(self) -> None:
        self._wall_s, self._monotonic_s = time.time(), time.monotonic()

    def examine(self) -> list[Finding]:
        stepped_s = (time.time() - self._wall_s) - (time.monotonic() - self._monotonic_s)
        reading = ClockCheck(SystemClock()).reading()
        facts = {
            "quality": reading.quality,
            "offset_s": reading.offset_s,
            "stepped_s": round(stepped_s, 4),
            "watched_s": round(time.monotonic() - self._monotonic_s, 1),
        }
        found = []
        if datetime.now(UTC) < _BUILT_AT:
            text = f"says {datetime.now(UTC):%Y-%m-%d}: certificates will be refused and events misdated"
            found.append(
                Finding("clock", "wall", Level.PROBLEM, text, "timedatectl set-time, and a time server")
            )
        if reading.quality == "synchronised":
            offset = "" if reading.offset_s is None else f", {reading.offset_s * 1000.0:+.2f} ms to correct"
            found.append(
                Finding("clock", "wall", Level.OK, f"disciplined by a time source{offset}", facts=facts)
            )
        else:
            text = "no time source disciplines it: events say `unsynchronised`, and their times may be wrong"
            advice = "apt install chrony, or timedatectl set-ntp true; decisions do not depend on it"
            found.append(Finding("clock", "wall", Level.WARNING, text, advice, facts))
        if abs(stepped_s) > _STEP_S:
            text = f"jumped by {stepped_s:+.3f} s while the doctor looked"
            found.append(
                Finding("clock", "wall", Level.WARNING, text, "two programs that set it? chrony alone slews")
            )
        return found


def examine_disk(settings: Settings, base_dir: Path, unit: Unit) -> list[Finding]:
    """Space, speed and rights of the state directory."""
    folder = base_dir / settings.node.state_dir
    reason = unwritable(folder)
    if reason is not None:
        if unit.file is not None and os.geteuid() != 0:
            text = f"{folder} belongs to the service and cannot be looked at as this user"
            return [Finding("disk", str(folder), Level.NOTE, text, "sudo edgenode doctor")]
        return [Finding("disk", str(folder), Level.PROBLEM, reason)]
    existing = folder
    while not existing.exists():
        existing = existing.parent
    found = [_space(folder, existing, settings), _speed(folder, existing)]
    kind = file_system(existing)
    if kind in _MEMORY_FILE_SYSTEMS:
        text = f"lies on {kind}, which a restart of the machine empties: undelivered events would be lost"
        found.append(
            Finding("disk", str(folder), Level.WARNING, text, "node.state_dir on a disk, or a volume")
        )
    mode = existing.stat().st_mode & 0o777
    if existing == folder and mode & 0o077:
        text = f"others may look into it (mode {mode:04o}): pictures and the broker's events lie there"
        found.append(Finding("disk", str(folder), Level.WARNING, text, f"chmod 700 {folder}"))
    return found


def _space(folder: Path, existing: Path, settings: Settings) -> Finding:
    stat = os.statvfs(existing)
    free_bytes, share = stat.f_bavail * stat.f_frsize, stat.f_bavail / max(1, stat.f_blocks)
    inodes = stat.f_favail / stat.f_files if stat.f_files else 1.0
    facts = {
        "free_bytes": free_bytes,
        "free_share": round(share, 4),
        "free_inodes_share": round(inodes, 4),
        "outbox_max_size_bytes": settings.outbox.max_size,
    }
    text = f"{free_bytes / 2**30:.1f} GiB free ({100.0 * share:.0f} %)"
    if free_bytes < _ROOM * settings.outbox.max_size:
        text += f", and the outbox may grow to {settings.outbox.max_size / 2**20:.0f} MiB"
        return Finding(
            "disk", str(folder), Level.PROBLEM, text, "free space, or lower outbox.max_size", facts
        )
    if share < 0.05 or inodes < 0.05:
        return Finding(
            "disk", str(folder), Level.WARNING, f"{text}: nearly full", "journalctl --vacuum-size=200M", facts
        )
    return Finding("disk", str(folder), Level.OK, text, facts=facts)


def _speed(folder: Path, existing: Path) -> Finding:
    """How long an event takes to be on the disk: one write and fsync, as the outbox does it."""
    took_s = []
    with tempfile.TemporaryFile(dir=existing) as file:
        for _ in range(_SYNCS):
            began_s = time.monotonic()
            os.pwrite(file.fileno(), b"\0" * 4096, 0)
            os.fsync(file.fileno())
            took_s.append(time.monotonic() - began_s)
    middle_s, worst_s = statistics.median(took_s), max(took_s)
    facts = {"fsync_median_ms": round(middle_s * 1000.0, 3), "fsync_worst_ms": round(worst_s * 1000.0, 3)}
    text = f"an event is on the disk after {middle_s * 1000.0:.1f} ms (worst of {_SYNCS}: {worst_s * 1000.0:.0f})"
    if middle_s <= _SLOW_SYNC_S:
        return Finding("disk", str(folder), Level.OK, text, facts=facts)
    advice = "an SD card at its end? an SSD, or a card made for writing"
    return Finding("disk", str(folder), Level.WARNING, text, advice, facts)


def file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The type of the file system that `path` lies on; empty where it cannot be known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        fields = line.split()
        point = fields[1].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def examine_limits(settings: Settings, unit: Unit) -> list[Finding]:
    """Whether as many files and connections may be open as the cameras will need."""
    wanted = _FILES_ELSE + _FILES_A_CAMERA * len(settings.cameras)
    ours = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    of_unit = unit.last("LimitNOFILE").partition(":")[0]
    limit, whose = (int(of_unit), "the unit") if of_unit.isdecimal() else (ours, "this shell")
    facts = {"limit": limit, "wanted": wanted, "of": whose}
    if limit >= wanted:
        text = f"{limit} may be open ({whose}), about {wanted} are needed"
        return [Finding("limits", "open files", Level.OK, text, facts=facts)]
    text = f"{limit} may be open ({whose}), and {len(settings.cameras)} cameras need about {wanted}"
    advice = f"systemctl edit edgenode: [Service] LimitNOFILE={max(4096, wanted)}"
    return [Finding("limits", "open files", Level.PROBLEM, text, advice, facts)]


def examine_energy(powercap: Path = Path("/sys/class/powercap")) -> list[Finding]:
    """Which meters can be read here."""
    meters = [*rapl_counters(powercap), *hwmon_meters(), *batteries()]
    found = [
        Finding(
            "energy",
            meter.domain,
            Level.OK,
            f"a meter of kind {meter.source}",
            facts={"source": meter.source, "total": meter.is_total},
        )
        for meter in meters
    ]
    locked = [path for path in powercap.glob("*/energy_uj") if not os.access(path, os.R_OK)]
    if locked:
        text = "the processor has energy counters that this user may not read"
        advice = "docs/energy.md, “Measure”: a group and a udev rule"
        found.append(Finding("energy", "rapl", Level.NOTE, text, advice))
    elif not meters:
        text = "no meter: joules stay unknown, CPU seconds are always there"
        found.append(Finding("energy", "none", Level.NOTE, text, "docs/energy.md: measure with a plug"))
    return found
