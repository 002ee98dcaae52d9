"""The dashboard of what a node draws, and what for."""

from __future__ import annotations

from scripts.reference.grafana import Dashboard, Panel, Query
from scripts.reference.panels import matchers, processor, rate, whether

ENERGY = Dashboard(
    "energy",
    "edgenode: energy",
    (
        Panel(
            "Power",
            (Query(f"edgenode_power_watts{{{matchers()}}}", "{{source}}"),),
            unit="watt",
            text="Of what the meter covers; empty where the machine has none.",
        ),
        Panel(
            "Joules an inference",
            (
                Query(
                    f"edgenode:energy_joules_per_inference:rate5m{{{matchers()}}}", "{{instance}} {{source}}"
                ),
            ),
            unit="joule",
            text="The whole package counts, idle power included.",
        ),
        Panel(
            "Energy an hour",
            (
                Query(
                    "sum by (domain, source) "
                    f"(increase(edgenode_energy_joules_total{{{matchers()}}}[1h])) / 3600",
                    "{{source}} {{domain}}",
                ),
            ),
            unit="watth",
            text="A domain may contain another: package-0/core is inside package-0.",
        ),
        Panel(
            "Power of each model",
            (Query(rate("edgenode_inference_joules_total", "model"), "{{model}}"),),
            unit="watt",
            text="Its share of the processor's joules, by CPU time.",
            stacked=True,
        ),
        Panel(
            "Power of each stage",
            (Query(rate("edgenode_stage_joules_total", "stage"), "{{stage}}"),),
            unit="watt",
            text="Their threads' share of the same joules.",
            stacked=True,
        ),
        Panel(
            "Governor: share of the frame rate left",
            (Query(f"edgenode_governor_share{{{matchers()}}}", "{{camera}}"),),
            unit="percentunit",
            text="Empty where [energy] sets no limit.",
        ),
        Panel(
            "Governor: measured over limit",
            (Query(f"edgenode_governor_pressure{{{matchers()}}}", "{{limit}}"),),
            unit="percentunit",
            text="Above 100 % frame rates fall.",
        ),
        Panel(
            "Temperature",
            (Query(f"edgenode_temperature_celsius{{{matchers()}}}", "{{zone}}"),),
            unit="celsius",
        ),
        Panel(
            "CPU seconds an inference",
            (Query(f"edgenode:cpu_seconds_per_inference:rate5m{{{matchers()}}}", "{{instance}}"),),
            unit="s",
        ),
        processor(),
        Panel(
            "What gates save",
            (Query(rate("edgenode_gate_skipped_total", "camera, gate"), "{{camera}} {{gate}}"),),
            unit="ops",
            text="Frames that were not classified because nothing moved.",
        ),
        Panel(
            "Beginnings of motion, seen by the packet gate or not",
            (Query(rate("edgenode_gate_audits_total", "camera, result"), "{{camera}} {{result}}"),),
            unit="ops",
            text="Counted while everything is decoded in spite of a closed gate, cameras.gate_audit of the time.",
        ),
        whether("Gates", f"edgenode_gate_open{{{matchers()}}}", "{{camera}}", bad_under=None),
    ),
)
