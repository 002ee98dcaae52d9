"""The form in which Grafana keeps a dashboard, made from a list of panels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from edgenode.records import JsonObject

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_SCHEMA_VERSION = 39


@dataclass(frozen=True, slots=True)
class Query:
    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """`width` of 24 columns. `bad_from`: from this value on the number is red; `bad_under`: below it."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "table", "state-timeline"] = "timeseries"
    width: int = 12
    height: int = 8
    text: str = ""
    bad_from: float | None = None
    bad_under: float | None = None
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    name: str
    title: str
    panels: tuple[Panel, ...]
    one_node: bool = True


def dashboard_text(dashboard: Dashboard) -> str:
    variables: list[JsonObject] = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    ]
    if dashboard.one_node:
        variables.append(
            {
                "name": "instance",
                "label": "Node",
                "type": "query",
                "datasource": _SOURCE,
                "query": {"query": "label_values(edgenode_build_info, instance)", "refId": "instance"},
                "refresh": 2,
                "sort": 1,
            }
        )
    document = {
        "uid": f"edgenode-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["edgenode"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["edgenode"], "title": "edgenode", "keepTime": True}],
        "templating": {"list": variables},
        "panels": _placed(dashboard.panels),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _placed(panels: tuple[Panel, ...]) -> list[JsonObject]:
    """Row by row from the left; a row is as high as its highest panel."""
    placed: list[JsonObject] = []
    x = y = row_height = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        placed.append(_panel(panel, number, place))
        x, row_height = x + panel.width, max(row_height, panel.height)
    return placed


def _panel(panel: Panel, number: int, place: JsonObject) -> JsonObject:
    instant = panel.kind in ("stat", "table")
    defaults: JsonObject = {"unit": panel.unit, "thresholds": _thresholds(panel)}
    if panel.kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "stacking": {"mode": "normal" if panel.stacked else "none"}}
        defaults["min"] = 0
    if panel.kind == "state-timeline":
        # a line that changes colour, not a number, is what one looks for here
        defaults["mappings"] = [
            {"type": "value", "options": {"0": {"text": "no", "index": 0}, "1": {"text": "yes", "index": 1}}}
        ]
        defaults["color"] = {"mode": "thresholds"}
    return {
        "id": number,
        "title": panel.title,
        "description": panel.text,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if panel.kind == "stat" else {},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend or "__auto",
                "instant": instant,
                "range": not instant,
                **({"format": "table"} if panel.kind == "table" else {}),
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def _thresholds(panel: Panel) -> JsonObject:
    steps: list[JsonObject] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    if panel.bad_under is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.bad_under}]
    return {"mode": "absolute", "steps": steps}
