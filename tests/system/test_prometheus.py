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

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
_NAME = re.compile(r"\b(?:edgenode[_:][\w:]+|process_\w+)\b")

NOT_ON_EVERY_NODE = {
    "edgenode_energy_joules_total": "a meter",
    "edgenode_power_watts": "a meter",
    "edgenode_inference_joules_total": "a meter",
    "edgenode:energy_joules_per_inference:rate5m": "a meter",
    "edgenode_drift_psi": "200 samples, and a card with a reference",
    "edgenode_corrupt_frames_total": "a damaged frame",
    "edgenode_inference_failures_total": "a model that fails",
    "edgenode_samples_failed_total": "a model that fails",
    "edgenode_samples_dropped_total": "models slower than the cameras",
    "edgenode_outbox_evicted_total": "a broker that was away too long",
    "edgenode_commands_total": "a command",
    "edgenode_gate_skipped_total": "a gate that has closed",
    "edgenode_gate_audits_total": "a packet gate, minutes",
    "edgenode_certificate_expiry_timestamp_seconds": "a certificate of the node's own",
}
"""What a series needs before it is there. `tests/unit/telemetry/test_metrics.py` proves name and labels of each."""


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
    with urllib.request.urlopen(f"http://127.0.0.1:{plant.http_port}/metrics", timeout=30.0) as answer:
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
        assert asked - told <= set(NOT_ON_EVERY_NODE), "asked for, and no node tells it"
        assert {rule["record"] for rule in rules() if "record" in rule} - told <= set(NOT_ON_EVERY_NODE)
        assert [name for name in NOT_ON_EVERY_NODE if name not in asked] == []

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
