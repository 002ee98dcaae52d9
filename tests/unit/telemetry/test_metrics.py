"""Names, the law of the buffers inside one scrape, absence of what is unknown, and promtool's word."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from edgenode.node.commands import VERBS
from edgenode.records import CameraReport, CameraStatus, DropReason, ModelIdentity
from edgenode.telemetry import delivery_metrics
from edgenode.telemetry.energy import EnergyMeter
from edgenode.telemetry.energy_sources import PowerSensor
from edgenode.telemetry.metrics import Metrics
from edgenode.telemetry.surroundings import Surroundings, SurroundingsMetrics
from edgenode.telemetry.temperature import Temperature

NOW = datetime(2026, 1, 1, tzinfo=UTC)


DESIGNED = """
edgenode_frames_total{camera} edgenode_packets_total{camera} edgenode_samples_offered_total{camera,region}
edgenode_samples_dropped_total{camera,reason} edgenode_inferences_total{model}
edgenode_batch_size_bucket{model}
edgenode_stage_seconds_bucket{stage} edgenode_capture_to_publish_seconds_bucket{}
edgenode_capture_to_ack_seconds_bucket{} edgenode_events_total{rule,event_type}
edgenode_events_delivered_total{} edgenode_outbox_messages{} edgenode_outbox_bytes{}
edgenode_outbox_evicted_total{reason} edgenode_mqtt_connected{} edgenode_camera_up{camera}
edgenode_gate_open{camera} edgenode_gate_skipped_total{camera,gate}
edgenode_gate_audits_total{camera,result}
edgenode_energy_joules_total{domain,source} edgenode_inference_joules_total{model}
edgenode_power_watts{source}
edgenode_cpu_seconds_total{thread} edgenode_prediction_confidence_bucket{model}
edgenode_drift_psi{model} edgenode_embedding_drift_psi{model} edgenode_shadow_samples_total{model,result}
edgenode_shadow_skipped_total{model,reason} edgenode_model_rollbacks_total{model,reason}
edgenode_model_info{model,version,sha256} edgenode_build_info{version,python,machine}
edgenode_samples_taken_total{model} edgenode_samples_held{model} edgenode_samples_failed_total{camera,reason}
edgenode_inference_failures_total{model,reason} edgenode_corrupt_frames_total{camera}
edgenode_camera_reconnects_total{camera} edgenode_camera_fps{camera}
edgenode_camera_threads_abandoned_total{camera} edgenode_events_refused_total{}
edgenode_commands_total{verb,result} edgenode_collect_kept_total{rule,why} edgenode_collect_pictures{}
edgenode_collect_dropped_total{rule,reason} edgenode_collect_bytes{}
edgenode_disk_free_bytes{} edgenode_disk_bytes{} edgenode_outbox_limit_bytes{} edgenode_clock_synchronised{}
edgenode_certificate_expiry_timestamp_seconds{}
edgenode_stage_joules_total{stage} edgenode_governor_share{camera} edgenode_governor_pressure{limit}
edgenode_temperature_celsius{zone} edgenode_messages_dropped_total{kind}
edgenode_mqtt_rivals_total{}
"""


@dataclass(frozen=True)
class Account:
    offered_by_region: Mapping[tuple[str, str], int] = field(default_factory=dict)
    dropped_by_camera: Mapping[tuple[str, DropReason], int] = field(default_factory=dict)
    taken: int = 0
    held: int = 0


def report(status: CameraStatus = CameraStatus.ONLINE, reconnects: int = 0) -> CameraReport:
    return CameraReport("line_1", status, "", NOW, fps=4.9, reconnects=reconnects)


def scrape(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.expose().body.decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def names(metrics: Metrics) -> set[str]:
    return {name for name, _ in scrape(metrics)}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return scrape(metrics).get((name, tuple(sorted(labels.items()))))


def busy(tmp_path: Path) -> Metrics:
    """Metrics after everything that can be told has been told once."""
    metrics = Metrics()
    (tmp_path / "power").write_text("5000000\n")
    metrics.register(EnergyMeter([PowerSensor("hwmon", "board/VDD_IN", (tmp_path / "power",), 1e-6, True)]))
    around = Surroundings(tmp_path, 1 << 26, lambda: True, lambda: NOW)
    metrics.register(SurroundingsMetrics(around))
    metrics.frame_decoded("line_1")
    metrics.packets("line_1", 12)
    metrics.corrupt_frame("line_1")
    metrics.thread_abandoned("line_1")
    for stage in ("decode", "prepare", "decide"):
        metrics.stage_seconds(stage, 0.004)
    metrics.camera_report(report(reconnects=1))
    metrics.gate("line_1", "motion", True)
    metrics.gate_skipped("line_1", "motion")
    metrics.gate_audit("line_1", True)
    metrics.batch("defects", 3, 0.012)
    metrics.queue_seconds(0.001)
    metrics.dropped("line_1", DropReason.NON_FINITE, 1)
    metrics.inference_failed("defects", "failed")
    metrics.prediction("defects", 0.97)
    metrics.picture_kept("hard", "low_margin")
    metrics.picture_not_kept("hard", "duplicate")
    metrics.collection(1, 2048)
    metrics.inference_joules("defects", 1.5)
    metrics.stage_joules("capture", 2.5)
    metrics.governor_share("line_1", 0.6)
    metrics.governor_pressure("watts", 1.1)
    metrics.register(Temperature(lambda: {"cpu-thermal": 61.5}))
    metrics.model_serving(ModelIdentity("defects", "3", "ab" * 32))
    metrics.drift("defects", 0.04, 0.02)
    metrics.shadow_compared("defects", 3, 1)
    metrics.shadow_skipped("defects", "late", 2)
    metrics.model_rolled_back("defects", "slow")
    metrics.watch_samples(
        "defects", lambda: Account({("line_1", "belt"): 9}, {("line_1", DropReason.STALE): 2}, 6, 1)
    )
    metrics.event_appended("defective_part", "start")
    metrics.event_delivered(1)
    metrics.deliver_seconds(0.002)
    metrics.publish_seconds(0.03)
    metrics.ack_seconds(0.04)
    metrics.outbox(1, 4096)
    metrics.evicted("expired", 2)
    metrics.connected(True)
    metrics.refused(1)
    metrics.messages_dropped("state", 3)
    metrics.command("reload", True)
    return metrics


def test_every_designed_name_has_exactly_its_labels(tmp_path: Path) -> None:
    found: dict[str, set[str]] = {}
    for name, labels in scrape(busy(tmp_path)):
        found.setdefault(name, set()).update(key for key, _ in labels if key != "le")
    for name, labels in re.findall(r"(\w+)\{([^}]*)\}", DESIGNED):
        assert found.get(name) == set(filter(None, labels.split(","))), name
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}
    designed = {re.sub(r"_bucket$", "", name) for name, _ in re.findall(r"(\w+)\{([^}]*)\}", DESIGNED)}
    assert {name for name in bases if not name.startswith("process_")} == designed


def test_promtool_accepts_the_scrape(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian: prometheus) is not installed")
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=busy(tmp_path).expose().body,
        capture_output=True,
        timeout=60,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_a_new_node_reports_nothing_it_does_not_know() -> None:
    assert {name for name in names(Metrics()) if name.startswith("edgenode_")} - {
        "edgenode_build_info",
        "edgenode_cpu_seconds_total",
    } == {
        # Nothing happened yet, and that is known: counts without labels begin at 0.
        "edgenode_events_delivered_total",
        "edgenode_events_refused_total",
        "edgenode_mqtt_rivals_total",
        *(
            f"edgenode_capture_to_{what}_seconds_{part}"
            for what in ("publish", "ack")
            for part in ("bucket", "count", "sum")
        ),
    }


def test_a_disk_that_is_gone_and_a_certificate_that_is_none_are_absent(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.register(SurroundingsMetrics(Surroundings(tmp_path / "gone", 7, lambda: False, lambda: None)))
    assert value(metrics, "edgenode_outbox_limit_bytes") == 7
    assert value(metrics, "edgenode_clock_synchronised") == 0
    assert not {name for name in names(metrics) if "disk" in name or "certificate" in name}


def test_nothing_is_registered_globally_and_two_nodes_share_nothing() -> None:
    first, second = Metrics(), Metrics()
    first.frame_decoded("line_1")
    assert value(first, "edgenode_frames_total", camera="line_1") == 1
    assert value(second, "edgenode_frames_total", camera="line_1") is None
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("edgenode")]


def test_no_created_series(tmp_path: Path) -> None:
    assert not [name for name in names(busy(tmp_path)) if name.endswith("_created")]


class Buffer:
    """Counts the way a sample buffer does: under one lock, from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offered = self._taken = self._dropped = self._held = 0

    def offer(self) -> None:
        with self._lock:
            self._offered += 1
            if self._held:
                self._dropped += 1
            else:
                self._held = 1

    def take(self) -> None:
        with self._lock:
            self._taken += self._held
            self._held = 0

    def counts(self) -> Account:
        with self._lock:
            return Account(
                {("c", "r"): self._offered},
                {("c", DropReason.SUPERSEDED): self._dropped},
                self._taken,
                self._held,
            )


def law_holds(metrics: Metrics) -> bool:
    sums = dict.fromkeys(("offered_total", "taken_total", "dropped_total", "held"), 0.0)
    for (name, _), count in scrape(metrics).items():
        short = name.removeprefix("edgenode_samples_")
        if short in sums:
            sums[short] += count
    return sums["offered_total"] == sums["taken_total"] + sums["dropped_total"] + sums["held"]


def test_offered_is_taken_plus_dropped_plus_held_in_every_scrape_while_threads_work() -> None:
    metrics, buffer, stop = Metrics(), Buffer(), threading.Event()
    metrics.watch_samples("m", buffer.counts)

    def work(step: object) -> None:
        while not stop.is_set():
            step()  # type: ignore[operator]

    threads = [threading.Thread(target=work, args=(step,)) for step in (buffer.offer, buffer.take)]
    for thread in threads:
        thread.start()
    try:
        assert all(law_holds(metrics) for _ in range(30))
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["offer", "take", "close", "new"]), max_size=40))
def test_counters_never_run_backwards_when_models_come_and_go(steps: list[str]) -> None:
    metrics = Metrics()
    buffer = Buffer()
    finish = metrics.watch_samples("m", buffer.counts)
    last = 0.0
    for step in steps:
        if step == "offer":
            buffer.offer()
        elif step == "take":
            buffer.take()
        elif step == "close":
            buffer.take()
            finish()
            finish()
        else:
            buffer.take()
            finish()
            buffer = Buffer()
            finish = metrics.watch_samples("m", buffer.counts)
        offered = value(metrics, "edgenode_samples_offered_total", camera="c", region="r") or 0.0
        assert offered >= last
        assert law_holds(metrics)
        last = offered


def test_losses_inside_the_buffer_are_not_counted_twice() -> None:
    metrics = Metrics()
    for reason in DropReason:
        metrics.dropped("line_1", reason, 2)
    counted = {dict(labels)["reason"] for name, labels in scrape(metrics) if "samples" in name}
    assert counted == {"failed", "non_finite"}


def test_a_disabled_camera_is_neither_up_nor_down() -> None:
    metrics = Metrics()
    metrics.camera_report(report(CameraStatus.OFFLINE))
    assert value(metrics, "edgenode_camera_up", camera="line_1") == 0
    metrics.camera_report(report(CameraStatus.DISABLED))
    assert value(metrics, "edgenode_camera_up", camera="line_1") is None


def test_reconnects_go_on_counting_when_a_reload_makes_the_camera_anew() -> None:
    metrics = Metrics()
    for reconnects in (0, 3, 0, 2):
        metrics.camera_report(report(reconnects=reconnects))
    assert value(metrics, "edgenode_camera_reconnects_total", camera="line_1") == 5


def test_a_swap_replaces_the_model_info() -> None:
    metrics = Metrics()
    for version in ("1", "2"):
        metrics.model_serving(ModelIdentity("defects", version, version * 64))
    infos = [dict(labels)["version"] for name, labels in scrape(metrics) if name == "edgenode_model_info"]
    assert infos == ["2"]
    metrics.model_gone("defects")
    assert "edgenode_model_info" not in names(metrics)


def test_a_camera_with_four_regions_and_rules_brings_less_than_five_hundred_series() -> None:
    """Nothing that happens to it makes more of them than its parts do."""
    metrics = Metrics()
    before = len(scrape(metrics))
    regions = [f"r{number}" for number in range(4)]
    for _ in range(2):
        metrics.frame_decoded("line_1")
        metrics.packets("line_1", 12)
        metrics.corrupt_frame("line_1")
        metrics.thread_abandoned("line_1")
        metrics.camera_report(report(reconnects=1))
        metrics.governor_share("line_1", 0.6)
        for gate in ("motion", "packet", "late"):
            metrics.gate("line_1", gate, True)
            metrics.gate_skipped("line_1", gate)
        for reason in DropReason:
            metrics.dropped("line_1", reason, 1)
        for region in regions:
            for step in ("start", "update", "end"):
                metrics.event_appended(f"line_1_{region}", step)
        offered = {("line_1", region): 9 for region in regions}
        lost = {("line_1", reason): 2 for reason in DropReason}
        metrics.watch_samples("defects", lambda offered=offered, lost=lost: Account(offered, lost, 6, 1))
    brought = len(scrape(metrics)) - before
    assert 20 < brought <= 500


def test_words_from_outside_do_not_make_new_series() -> None:
    metrics = Metrics()
    for n in range(50):
        metrics.command(f"verb{n}", False)
        metrics.inference_failed("defects", f"tensor {n} is too large")
    assert value(metrics, "edgenode_commands_total", verb="unknown", result="error") == 50
    assert value(metrics, "edgenode_inference_failures_total", model="defects", reason="other") == 50


def test_the_metrics_page_names_every_metric_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs/metrics.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(edgenode_\w+)` \| ([^|]*)\|", page, re.MULTILINE))
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows.items()}
    designed = {
        name.removesuffix("_bucket"): set(filter(None, labels.split(",")))
        for name, labels in re.findall(r"(\w+)\{([^}]*)\}", DESIGNED)
    }
    assert documented == designed


def test_every_command_is_counted_under_its_own_name() -> None:
    assert delivery_metrics._VERBS == VERBS
