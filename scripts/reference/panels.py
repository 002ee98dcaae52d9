"""The queries of the dashboards, for the nodes that are chosen, and the panels that they share."""

from __future__ import annotations

from scripts.reference.grafana import Panel, Query

_HOW_OFTEN = "$__rate_interval"


def rate(metric: str, by: str = "instance") -> str:
    return f"sum by ({by}) (rate({metric}{{{matchers()}}}[{_HOW_OFTEN}]))"


def quantile(q: float, metric: str, by: str = "instance") -> str:
    """`metric` without `_bucket`."""
    return f"histogram_quantile({q}, {rate(metric + '_bucket', f'{by}, le')})"


def matchers() -> str:
    return 'instance=~"$instance"'


def quantiles(metric: str, by: str, legend: str) -> tuple[Query, ...]:
    return tuple(Query(quantile(q, metric, by), f"p{round(q * 100)} {legend}") for q in (0.5, 0.99))


def stat(title: str, query: str, bad_from: float | None = None) -> Panel:
    """One number in a sixth of the width."""
    return Panel(title, (Query(query),), kind="stat", width=4, height=4, bad_from=bad_from)


def whether(title: str, query: str, legend: str, bad_under: float | None = 1) -> Panel:
    """1 or 0 over time."""
    return Panel(title, (Query(query, legend),), kind="state-timeline", bad_under=bad_under)


def processor() -> Panel:
    used = Query(rate("edgenode_cpu_seconds_total", "thread"), "{{thread}}")
    return Panel("Processor by thread", (used,), text="1 is one core.", stacked=True)
