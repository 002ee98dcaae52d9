"""The shares of models and stages in the meter's joules, from recorded counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgenode.clock import ManualClock
from edgenode.telemetry.energy import EnergyMeter
from edgenode.telemetry.energy_shares import Consumers, EnergyShares
from edgenode.telemetry.energy_sources import EnergyCounter
from edgenode.telemetry.metrics import Metrics
from edgenode.telemetry.processor_time import busy_seconds


@dataclass
class Machine:
    """A counter in µJ and a /proc/stat in a folder, and a clock."""

    folder: Path
    joules: float = 0.0
    busy_ticks: int = 0
    added: dict[str, float] = field(default_factory=dict)
    metered: bool = True
    threads: int = 1
    thread_s: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.write()
        meters = [EnergyCounter("rapl", "package-0", self.folder / "uj", None, True)] if self.metered else []
        consumers = Consumers(self.metrics.run_seconds, lambda: self.thread_s, self.add, self.add_stage)
        self.energy = EnergyShares(
            EnergyMeter(meters, self.clock), consumers, self.threads, self.folder / "stat"
        )
        self.energy.tick()

    def add(self, model: str, joules: float) -> None:
        self.added[model] = self.added.get(model, 0.0) + joules

    def add_stage(self, stage: str, joules: float) -> None:
        self.stages[stage] = self.stages.get(stage, 0.0) + joules

    def write(self) -> None:
        (self.folder / "uj").write_text(f"{int(self.joules * 1e6)}\n")
        (self.folder / "stat").write_text(f"cpu  {self.busy_ticks} 0 0 999 9 0 0 0 0 0\ncpu0 1 1 1\n")

    def second(self, joules: float, busy_s: float, **run_s: float) -> None:
        self.joules += joules
        self.busy_ticks += round(busy_s * 100)
        for model, seconds in run_s.items():
            self.metrics.batch(model, 1, seconds)
        self.clock.advance(1.0)
        self.write()
        self.energy.tick()


def test_models_share_by_the_cpu_time_they_used(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.second(10.0, 1.0, defects=0.2, dents=0.3)
    assert machine.added == pytest.approx({"defects": 2.0, "dents": 3.0})
    machine.second(10.0, 0.5, defects=0.1)
    assert machine.added == pytest.approx({"defects": 4.0, "dents": 3.0})


def test_a_run_on_two_threads_counts_twice(tmp_path: Path) -> None:
    machine = Machine(tmp_path, threads=2)
    machine.second(10.0, 1.0, defects=0.2)
    assert machine.added == pytest.approx({"defects": 4.0})


def test_stages_share_by_the_cpu_time_of_their_threads(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.thread_s = {
        "camera-line_1": 0.2,
        "camera-line_2": 0.1,
        "infer-defects": 0.4,
        "mqtt": 0.05,
        "main": 0.05,
    }
    machine.second(10.0, 1.0)
    assert machine.stages == pytest.approx({"capture": 3.0, "inference": 4.0, "delivery": 0.5, "other": 0.5})


def test_shares_never_exceed_what_the_meter_counted(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.second(10.0, 0.1, defects=0.3, dents=0.3)
    assert sum(machine.added.values()) == pytest.approx(10.0)


def test_an_interval_without_busy_time_is_carried_into_the_next(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.second(1.0, 0.0, defects=0.1)
    assert machine.added == {}
    machine.second(1.0, 0.4, defects=0.1)
    assert machine.added == pytest.approx({"defects": 1.0})


def test_without_a_meter_nothing_is_reported(tmp_path: Path) -> None:
    machine = Machine(tmp_path, metered=False)
    machine.second(10.0, 1.0, defects=0.2)
    assert machine.added == {}
    assert b"edgenode_inference_joules_total{" not in machine.metrics.expose().body


def test_this_machines_busy_time_is_readable_and_a_missing_file_is_unknown(tmp_path: Path) -> None:
    assert (busy_seconds(Path("/proc/stat")) or 0.0) > 0.0
    assert busy_seconds(tmp_path / "no") is None
