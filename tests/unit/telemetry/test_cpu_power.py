"""Energy from CPU time, temperatures, and the pace keeper that reads both."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.registry import CollectorRegistry

from edgenode.clock import ManualClock
from edgenode.node.pacekeeper import PaceKeeper
from edgenode.settings import Settings
from edgenode.telemetry.cpu_power import CpuPower, Point, calibrated
from edgenode.telemetry.energy import EnergyMeter
from edgenode.telemetry.energy_sources import PowerSensor
from edgenode.telemetry.metrics import Metrics
from edgenode.telemetry.temperature import temperatures


def stat(folder: Path, busy_ticks: int) -> Path:
    path = folder / "stat"
    path.write_text(f"cpu  {busy_ticks} 0 0 999 9 0 0 0 0 0\n")
    return path


def test_joules_are_idle_power_over_time_and_a_cores_power_over_busy_time(tmp_path: Path) -> None:
    clock = ManualClock()
    meter = EnergyMeter([CpuPower(4.0, 2.5, stat(tmp_path, 1000), clock.monotonic)], clock)
    meter.sample()
    clock.advance(10.0)
    stat(tmp_path, 1600)  # 6 core seconds
    meter.sample()
    assert meter.joules("model") == pytest.approx(4.0 * 10 + 2.5 * 6)
    assert meter.watts() == pytest.approx(5.5)
    registry = CollectorRegistry()
    registry.register(meter)
    labels = {"domain": "machine", "source": "model"}
    assert registry.get_sample_value("edgenode_energy_joules_total", labels) == pytest.approx(55.0)


def test_two_readings_make_a_line() -> None:
    idle_watts, core_watts = calibrated(Point(4.2, 0.1), Point(9.6, 1.9))
    assert core_watts == pytest.approx(3.0)
    assert idle_watts == pytest.approx(3.9)


@pytest.mark.parametrize(
    ("idle", "busy", "words"),
    [
        (Point(4.0, 1.8), Point(5.0, 2.0), "too close together"),
        (Point(9.0, 0.0), Point(5.0, 2.0), "makes no sense"),
        (Point(1.0, 1.0), Point(9.0, 2.0), "makes no sense"),
    ],
)
def test_readings_that_cannot_be_are_refused(idle: Point, busy: Point, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        calibrated(idle, busy)


def test_temperatures_leave_out_what_no_sensor_shows(tmp_path: Path) -> None:
    thermal = tmp_path / "thermal"
    for number, (kind, value) in enumerate(
        [("cpu-thermal", 51234), ("cpu-thermal", 48000), ("gpu", -273000)]
    ):
        zone = thermal / f"thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{value}\n")
    assert temperatures(thermal, tmp_path) == {"cpu-thermal": 51.234, "cpu-thermal_2": 48.0}
    chip = tmp_path / "hwmon" / "hwmon0"
    chip.mkdir(parents=True)
    (chip / "name").write_text("coretemp\n")
    (chip / "temp1_input").write_text("60000\n")
    (chip / "temp1_label").write_text("Package id 0\n")
    assert temperatures(tmp_path / "none", tmp_path / "hwmon") == {"coretemp/Package id 0": 60.0}
    assert temperatures(tmp_path / "none", tmp_path / "none") == {}


def settings(**energy: object) -> Settings:
    cameras = [
        {"name": "yard", "source": "a.mp4", "priority": 1},
        {"name": "line", "source": "b.mp4", "priority": 9},
    ]
    return Settings.model_validate({"cameras": cameras, "energy": energy})


def sensor(folder: Path, microwatts: int, source: str = "hwmon") -> PowerSensor:
    (folder / "power").write_text(f"{microwatts}\n")
    (folder / "status").write_text("Discharging\n")
    discharging = folder / "status" if source == "battery" else None
    return PowerSensor(source, "board", (folder / "power",), 1e-6, True, discharging)


def test_a_board_over_its_budget_slows_the_camera_that_matters_least(tmp_path: Path) -> None:
    clock, metrics, paces = ManualClock(), Metrics(), dict[str, float]()
    meter = EnergyMeter([sensor(tmp_path, 12_000_000)], clock)
    keeper = PaceKeeper(settings(budget_watts=10.0), meter, metrics, paces.__setitem__)
    keeper.tick()
    assert paces["yard"] < 1.0
    assert paces["line"] == 1.0
    value = metrics.registry.get_sample_value
    assert value("edgenode_governor_pressure", {"limit": "watts"}) == pytest.approx(1.2)
    assert value("edgenode_governor_share", {"camera": "yard"}) == paces["yard"]
    sensor(tmp_path, 5_000_000)
    for _ in range(30):
        clock.advance(5.0)
        keeper.tick()
    assert paces == {"yard": 1.0, "line": 1.0}


def test_heat_battery_and_delay_limit_too(tmp_path: Path) -> None:
    clock, metrics, paces = ManualClock(), Metrics(), dict[str, float]()
    meter = EnergyMeter([sensor(tmp_path, 1_000_000, "battery")], clock)
    hot = PaceKeeper(settings(max_temperature=80.0), meter, metrics, paces.__setitem__, lambda: 88.0)
    hot.tick()
    assert paces["yard"] < 1.0
    PaceKeeper(settings(on_battery=0.5), meter, metrics, paces.__setitem__, lambda: None).tick()
    assert paces == {"yard": 0.5, "line": 0.5}
    late = PaceKeeper(settings(target_p95="50ms"), meter, metrics, paces.__setitem__, lambda: None)
    for _ in range(100):
        metrics.stage_seconds("queue", 0.09)
        metrics.stage_seconds("infer", 0.004)
    late.tick()
    # 95 % of the way through the buckets from 50 to 100 ms and from 2 to 5 ms: 97.5 and 4.85 ms
    pressure = metrics.registry.get_sample_value("edgenode_governor_pressure", {"limit": "p95"})
    assert pressure == pytest.approx((0.0975 + 0.00485) / 0.05)
    assert paces["yard"] < 1.0


def test_without_a_limit_nothing_is_touched(tmp_path: Path) -> None:
    paces: dict[str, float] = {}
    PaceKeeper(settings(), EnergyMeter([sensor(tmp_path, 10**9)]), Metrics(), paces.__setitem__).tick()
    assert paces == {}
