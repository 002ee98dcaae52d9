"""Meters read from recorded sysfs trees: what they count, where they wrap, silence where there is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.registry import CollectorRegistry

from edgenode.clock import ManualClock
from edgenode.telemetry.energy import EnergyMeter
from edgenode.telemetry.energy_sources import (
    EnergyCounter,
    PowerSensor,
    batteries,
    hwmon_meters,
    rapl_counters,
)


def tree(root: Path, files: dict[str, str | int]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


RANGE_UJ = 262143328850
INTEL: dict[str, str | int] = {
    # A desktop's powercap tree: package, its cores, memory, and the same package again through MMIO.
    "intel-rapl/enabled": 1,
    "intel-rapl:0/name": "package-0",
    "intel-rapl:0/energy_uj": 262143000000,
    "intel-rapl:0/max_energy_range_uj": RANGE_UJ,
    "intel-rapl:0:0/name": "core",
    "intel-rapl:0:0/energy_uj": 1000000,
    "intel-rapl:0:0/max_energy_range_uj": RANGE_UJ,
    "intel-rapl:0:1/name": "dram",
    "intel-rapl:0:1/energy_uj": 500000,
    "intel-rapl:0:1/max_energy_range_uj": 65712999613,
    "intel-rapl:1/name": "psys",
    "intel-rapl:1/energy_uj": 9000000,
    "intel-rapl:1/max_energy_range_uj": RANGE_UJ,
    "intel-rapl-mmio:0/name": "package-0",
    "intel-rapl-mmio:0/energy_uj": 262143000000,
}
JETSON: dict[str, str | int] = {
    # An INA3221 as on Jetson boards: three rails, and shunt voltages as in4..in6 that belong to no current.
    "hwmon3/name": "ina3221",
    "hwmon3/in1_label": "VDD_IN",
    "hwmon3/in1_input": 5000,
    "hwmon3/curr1_input": 1200,
    "hwmon3/in2_label": "VDD_CPU_GPU_CV",
    "hwmon3/in2_input": 5000,
    "hwmon3/curr2_input": 400,
    "hwmon3/in3_label": "VDD_SOC",
    "hwmon3/in3_input": 5000,
    "hwmon3/curr3_input": 300,
    "hwmon3/in4_input": 6,
    "hwmon0/name": "cpu_thermal",
    "hwmon0/temp1_input": 41000,
}


def series(meter: EnergyMeter) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): round(sample.value, 6)
        for family in meter.collect()
        for sample in family.samples
    }


def test_rapl_counts_from_the_first_reading_and_follows_a_wrap(tmp_path: Path) -> None:
    root, clock = tree(tmp_path, INTEL), ManualClock()
    meter = EnergyMeter(rapl_counters(root), clock)
    meter.sample()
    tree(root, {"intel-rapl:0/energy_uj": 4671150, "intel-rapl:0:1/energy_uj": 2500000})
    clock.advance(1.0)
    found = series(meter)
    # From 262143.000000 J to the end of the range (262143.328850 J), and 4.671150 J on.
    assert found["edgenode_energy_joules_total", "package-0", "rapl"] == 5.0
    assert found["edgenode_energy_joules_total", "package-0/dram", "rapl"] == 2.0
    assert found["edgenode_energy_joules_total", "package-0/core", "rapl"] == 0.0
    # Package and memory; the cores are inside the package, and psys would count all of it again.
    assert found["edgenode_power_watts", "rapl"] == 7.0
    assert meter.joules("rapl") == pytest.approx(7.0)


def test_the_package_seen_again_through_mmio_is_left_out(tmp_path: Path) -> None:
    domains = [counter.domain for counter in rapl_counters(tree(tmp_path, INTEL))]
    assert domains == ["package-0", "package-0/core", "package-0/dram", "psys"]


def test_a_counter_that_falls_without_a_known_range_loses_the_interval_alone(tmp_path: Path) -> None:
    root, clock = tree(tmp_path, {"energy1_input": 1_000_000}), ManualClock()
    meter = EnergyMeter([EnergyCounter("hwmon", "board", root / "energy1_input", None, True)], clock)
    for value in (1_000_000, 3_000_000, 500_000, 1_500_000):
        tree(root, {"energy1_input": value})
        meter.sample()
        clock.advance(1.0)
    assert meter.joules("hwmon") == pytest.approx(3.0)


def test_a_board_total_is_the_power_and_its_parts_are_domains(tmp_path: Path) -> None:
    root, clock = tree(tmp_path, JETSON), ManualClock()
    meter = EnergyMeter(hwmon_meters(root), clock)
    meter.sample()
    tree(root, {"hwmon3/curr1_input": 1600})
    clock.advance(2.0)
    found = series(meter)
    assert found["edgenode_power_watts", "hwmon"] == 8.0
    # Trapezoid from 6 W to 8 W over 2 s.
    assert found["edgenode_energy_joules_total", "ina3221/VDD_IN", "hwmon"] == 14.0
    assert found["edgenode_energy_joules_total", "ina3221/VDD_SOC", "hwmon"] == 3.0
    assert len(found) == 4


def test_several_rails_without_a_known_total_give_no_sum(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "hwmon0/name": "ina226",
            "hwmon0/power1_input": 2_000_000,
            "hwmon0/in1_input": 5000,
            "hwmon0/curr1_input": 400,
            "hwmon1/name": "ina226",
            "hwmon1/power1_input": 3_000_000,
        },
    )
    found = series(EnergyMeter(hwmon_meters(root), ManualClock()))
    assert found == {
        ("edgenode_energy_joules_total", "ina226/power1", "hwmon"): 0.0,
        ("edgenode_energy_joules_total", "ina226/power1:hwmon1", "hwmon"): 0.0,
    }


def test_voltages_of_other_chips_are_not_multiplied_with_currents(tmp_path: Path) -> None:
    root = tree(tmp_path, {"hwmon0/name": "nct6775", "hwmon0/in1_input": 1000, "hwmon0/curr1_input": 100})
    assert hwmon_meters(root) == []


@pytest.mark.parametrize(
    ("files", "watts"),
    [
        ({"power_now": 12_500_000}, 12.5),
        ({"current_now": 1_000_000, "voltage_now": 11_400_000}, 11.4),
        ({"current_now": -1_000_000, "voltage_now": 11_400_000}, 11.4),
    ],
)
def test_a_battery_counts_while_it_discharges(
    tmp_path: Path, files: dict[str, str | int], watts: float
) -> None:
    base: dict[str, str | int] = {"type": "Battery", "status": "Discharging"}
    root = tree(tmp_path, {f"BAT0/{name}": value for name, value in (base | files).items()})
    tree(
        root,
        {
            "AC/type": "Mains",
            "hid-mouse/type": "Battery",
            "hid-mouse/scope": "Device",
            "hid-mouse/power_now": 9,
        },
    )
    clock = ManualClock()
    meter = EnergyMeter(batteries(root), clock)
    meter.sample()
    clock.advance(1.0)
    assert series(meter) == {
        ("edgenode_energy_joules_total", "BAT0", "battery"): watts,
        ("edgenode_power_watts", "battery"): watts,
    }
    tree(root, {"BAT0/status": "Charging"})
    clock.advance(1.0)
    assert series(meter) == {("edgenode_energy_joules_total", "BAT0", "battery"): watts}


def test_power_read_too_far_apart_is_not_added_up(tmp_path: Path) -> None:
    clock = ManualClock()
    tree(tmp_path, {"p": 10_000_000})
    meter = EnergyMeter([PowerSensor("hwmon", "board", (tmp_path / "p",), 1e-6, True)], clock)
    meter.sample()
    clock.advance(60.0)
    meter.sample()
    assert meter.joules("hwmon") == 0.0
    clock.advance(1.0)
    meter.sample()
    assert meter.joules("hwmon") == pytest.approx(10.0)


def test_a_machine_without_meters_exports_nothing(tmp_path: Path) -> None:
    meter = EnergyMeter([*rapl_counters(tmp_path / "no"), *hwmon_meters(tmp_path), *batteries(tmp_path)])
    registry = CollectorRegistry(auto_describe=True)
    registry.register(meter)
    assert series(meter) == {}
    assert meter.sources == ()
    assert meter.joules("rapl") is None


def test_a_counter_only_root_may_read_does_not_exist(tmp_path: Path) -> None:
    root = tree(tmp_path, {"intel-rapl:0/name": "package-0"})
    # A directory in the file's place fails to read for root too, as 0400 does for anybody else.
    (root / "intel-rapl:0" / "energy_uj").mkdir()
    assert rapl_counters(root) == []


def test_this_machine_can_be_asked() -> None:
    meter = EnergyMeter.of_this_machine()
    assert {key[-1] for key in series(meter)} <= {"rapl", "hwmon", "battery"}
