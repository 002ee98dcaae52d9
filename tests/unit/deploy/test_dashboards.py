"""Dashboards and rules ask for metrics that exist, with labels these metrics have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RULES = ROOT / "deploy/prometheus/rules.yml"
OTHERS = {
    "up",
    "ALERTS",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_cpu_seconds_total",
}
"""Of Prometheus itself and of its client library."""
TARGET_LABELS = {"instance", "job", "node", "le"}
ALERT_LABELS = {"alertname", "alertstate"}
_NAME = re.compile(r"\b(?:edgenode[_:][\w:]+|process_\w+|up\b|ALERTS\b)")
_SELECTOR = re.compile(r"\b((?:edgenode[_:][\w:]+|process_\w+|up|ALERTS))\{([^}]*)\}")


def documented() -> dict[str, set[str]]:
    """Metric to labels, of docs/metrics.md, which another test holds against the code."""
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for name, labels, text in re.findall(r"^\| `(edgenode_\w+)` \| ([^|]*)\| (.*) \|$", page, re.MULTILINE):
        names = set(re.findall(r"`(\w+)`", labels))
        suffixes = ("_bucket", "_sum", "_count") if text.startswith("histogram") else ("",)
        found.update((name + suffix, names) for suffix in suffixes)
    return found


def recorded() -> dict[str, str]:
    """Name to expression of every recording rule."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"] if "record" in rule}


def panels() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{path.stem}: {panel['title']}", panel)
        for path in DASHBOARDS
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
    ]


def expressions() -> list[tuple[str, str]]:
    found = [(name, target["expr"]) for name, panel in panels() for target in panel["targets"]]
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found += [
        (rule.get("alert") or rule["record"], rule["expr"]) for group in groups for rule in group["rules"]
    ]
    return found


@pytest.mark.parametrize(("place", "expression"), expressions())
def test_a_query_names_metrics_and_labels_that_exist(place: str, expression: str) -> None:
    metrics, rules = documented(), recorded()
    names = set(_NAME.findall(expression))
    assert names, "asks for nothing"
    assert names - set(metrics) - set(rules) - OTHERS == set()
    known = TARGET_LABELS.union(
        ALERT_LABELS if "ALERTS" in names else set(), *(metrics.get(n, set()) for n in names)
    )
    known |= {"source"} if names & set(rules) else set()
    used = set()
    for _, matchers in _SELECTOR.findall(expression):
        used |= set(re.findall(r"(\w+)\s*[=!]~?", matchers))
    for grouped in re.findall(r"\b(?:by|on|group_left|without)\s*\(([^)]*)\)", expression):
        used |= {label.strip() for label in grouped.split(",") if label.strip()}
    assert used <= known


@pytest.mark.parametrize(
    ("place", "panel"), panels(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_legend_names_labels_the_query_keeps(place: str, panel: dict[str, Any]) -> None:
    metrics = documented()
    for target in panel["targets"]:
        kept = re.findall(r"\bby\s*\(([^)]*)\)", target["expr"])
        if kept:
            labels = {label.strip() for label in kept[0].split(",")}
        else:
            labels = TARGET_LABELS.union(
                *(metrics.get(name, {"source"}) for name in _NAME.findall(target["expr"]))
            )
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels


def test_every_metric_of_the_node_is_looked_at_or_known_to_be_left_out() -> None:
    """A new metric should be thought of: on a dashboard, in an alert, or here."""
    asked = {name for _, expression in expressions() for name in _NAME.findall(expression)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in documented()}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    unseen = {name for name in families - shown if not name.endswith("_build_info")}
    assert unseen == LEFT_OUT


LEFT_OUT = {"edgenode_samples_held", "edgenode_packets_total"}
"""They are there for the accounts to add up."""


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_has_the_form_that_grafana_loads(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["uid"] == f"edgenode-{path.stem}"
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    names = {variable["name"] for variable in document["templating"]["list"]} | {"__rate_interval"}
    assert set(re.findall(r"\$\{?(\w+)", path.read_text(encoding="utf-8"))) <= names
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, (_, expression) in enumerate(expressions())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
