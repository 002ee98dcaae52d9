"""A real node, scraped by a real Prometheus with the shipped rules: every query of every panel and alert is run."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml

from edgenode.capture.scenes import scene_named
from tests.servers.prometheus import Prometheus, tool
from tests.system.daemon import Daemon, eventually
from tests.system.plant import Plant, StartNode
from tests.unit.deploy.test_dashboards import documented

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
_NAME = re.compile(r"\b(?:edgenode[_:][\w:]+|process_\w+)\b")

ALWAYS = {
    "edgenode_camera_up", "edgenode_camera_fps", "edgenode_frames_total", "edgenode_inferences_total",
    "edgenode_samples_offered_total", "edgenode_samples_taken_total", "edgenode_stage_seconds_bucket",
    "edgenode_batch_size_sum", "edgenode_events_total", "edgenode_events_delivered_total",
    "edgenode_events_refused_total", "edgenode_outbox_messages", "edgenode_outbox_bytes",
    "edgenode_outbox_limit_bytes", "edgenode_mqtt_connected", "edgenode_capture_to_publish_seconds_bucket",
    "edgenode_capture_to_ack_seconds_bucket", "edgenode_cpu_seconds_total", "edgenode_disk_bytes",
    "edgenode_disk_free_bytes", "edgenode_clock_synchronised", "edgenode_prediction_confidence_bucket",
    "edgenode_model_info", "edgenode_gate_open", "edgenode_camera_reconnects_total",
    "process_start_time_seconds", "process_resident_memory_bytes", "edgenode:inferences:rate5m",
    "edgenode:cpu_seconds_per_inference:rate5m", "edgenode:capture_to_publish_seconds:p99_5m",
    "edgenode:samples_dropped:ratio5m",
}  # fmt: skip
"""What a node at work tells. The rest needs a meter, a fault, a command, an outage or a day; each of them stands in
docs/metrics.md, which the unit tests hold against the code."""


def panels() -> list[tuple[str, str]]:
    """(dashboard: title, expression) of every query, variables filled in as Grafana would."""
    return [
        (
            f"{path.stem}: {panel['title']}",
            target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*"),
        )
        for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def node_at_work(plant: Plant, start: StartNode) -> Daemon:
    """Two cameras, one behind a gate, events with pictures."""
    plant.sections["models.line_parts"] = {"file": str(ROOT / "edgenode/demo/models/line_parts.onnx")}
    box = list(scene_named("line").regions["belt"].box)
    region = [{"name": "belt", "model": "line_parts", "box": box, "smoothing": {"window": "100ms"}}]
    plant.camera("line_1", "synthetic:line", regions=region, fps=10)
    plant.camera("line_2", "synthetic:line?seed=2", regions=region, gate="motion")
    plant.rule("seen", 'line_1.belt == "good"', snapshot=True)
    node = start(plant)
    node.wait_for_text("camera line_2 is online")
    return node


def scrape(plant: Plant) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{plant.http_port}/metrics", timeout=60.0) as answer:
        return str(answer.read().decode())


def test_every_query_of_dashboards_and_rules_answers_on_a_real_node(
    plant: Plant, start: StartNode, tmp_path: Path
) -> None:
    tool("prometheus")
    node_at_work(plant, start)
    eventually(lambda: "edgenode_events_delivered_total 0.0" not in scrape(plant), "a delivered event")
    checked = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=scrape(plant).encode(), capture_output=True, timeout=60
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")

    with Prometheus(tmp_path, f"127.0.0.1:{plant.http_port}", RULES) as prometheus:
        eventually(
            lambda: prometheus.series("count_over_time(edgenode:inferences:rate5m[1m]) >= 3"),
            "recorded rates",
        )
        told = {str(name) for name in prometheus.get("label/__name__/values")}
        asked = {name for _, expression in panels() for name in _NAME.findall(expression)}
        asked |= {name for rule in rules() for name in _NAME.findall(rule["expr"])}
        assert told >= ALWAYS
        known = set(documented()) | {rule["record"] for rule in rules() if "record" in rule}
        assert asked - told <= known, "asked for, and no node tells it"

        empty = []
        for place, expression in panels():
            missing = set(_NAME.findall(expression)) - told
            if not prometheus.series(expression) and not missing and "ALERTS" not in expression:
                empty.append((place, expression))
        assert empty == []
        groups = prometheus.get("rules")["groups"]
        assert [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"] == []
        firing = {
            rule["name"]
            for group in groups
            for rule in group["rules"]
            if rule["type"] == "alerting" and rule["state"] == "firing"
        }
        assert firing == set(), "a node that is well is silent"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_camera_that_is_gone_makes_its_alert_fire(plant: Plant, start: StartNode, tmp_path: Path) -> None:
    """All the way: the node tells it, Prometheus scrapes it, the rule waits its half minute and fires."""
    plant.camera("gone", "rtsp://127.0.0.1:9/x")
    start(plant).wait_for_text("gone")
    with Prometheus(tmp_path, f"127.0.0.1:{plant.http_port}", RULES) as prometheus:
        (alert,) = eventually(
            lambda: prometheus.series('ALERTS{alertname="EdgenodeCameraDown", alertstate="firing"}'),
            "the alert",
            120.0,
        )
        assert alert["metric"]["camera"] == "gone"
