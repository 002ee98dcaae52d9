"""`deploy/grafana/dashboards/*.json`: what there is to look at."""

from __future__ import annotations

from scripts.reference.dashboard_energy import ENERGY
from scripts.reference.dashboard_node import NODE
from scripts.reference.dashboard_overview import OVERVIEW

DASHBOARDS = (OVERVIEW, NODE, ENERGY)
