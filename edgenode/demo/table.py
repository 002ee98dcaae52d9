"""The demo on a terminal: a live table, or plain lines where there is none."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgenode.demo.state import DemoState, EventView, RegionView, Spread

_COLOURS = {
    "good": "green",
    "clear": "green",
    "green": "green",
    "amber": "yellow",
    "vehicle": "cyan",
    "red": "red",
    "defect": "bold red",
    "unknown": "magenta",
    "invalid": "magenta",
    "empty": "dim",
}
_SEVERITIES = {"critical": "bold red", "warning": "yellow", "info": "blue"}


def render(state: DemoState) -> RenderableType:
    """The whole screen for `state`."""
    parts: list[RenderableType] = [_regions(state), _events(state), _numbers(state)]
    if state.links is not None:
        parts.append(_links(state))
    parts.extend(Text(f"! {notice}", style="yellow") for notice in state.notices)
    title = f"edgenode demo · {state.elapsed_s:.0f} s · Ctrl-C ends"
    return Panel(Group(*parts), title=title, title_align="left", border_style="blue", padding=(0, 1))


def line(state: DemoState) -> str:
    """One line that says what the table says, for logs and pipes."""
    regions = "  ".join(
        f"{view.camera}.{view.region}={view.label or '-'} {_percent(view.accuracy)}" for view in state.regions
    )
    events = " ".join(f"{rule}:{count}" for rule, count in state.started.items())
    latency = f"p50 {state.decided.p50_ms:.0f} ms p99 {state.decided.p99_ms:.0f} ms" if state.decided else "-"
    return (
        f"{state.elapsed_s:6.1f} s  {regions}  events {events}  {state.classifications_per_s:.0f}/s  "
        f"latency {latency}  cpu {state.cpu_percent:.0f}%  mqtt {state.messages}"
    )


def event_line(event: EventView) -> str:
    """One line for an event."""
    return f"{event.at:%H:%M:%S} {event.severity} {event.rule} {_lasted(event)}: {event.reason}"


def _regions(state: DemoState) -> Table:
    table = Table(expand=True, box=None, header_style="bold", padding=(0, 1))
    for name, justify in (
        ("camera", "left"),
        ("region", "left"),
        ("state", "left"),
        ("probability", "right"),
        ("for", "right"),
        ("truth", "left"),
        ("model right", "right"),
    ):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for view in state.regions:
        table.add_row(
            view.camera,
            view.region,
            _label(view.label),
            _bar(view.probability) if view.label else "",
            f"{view.held_s:.1f} s" if view.label else "",
            _truth(view),
            Text(_percent(view.accuracy), style="" if (view.accuracy or 1.0) >= 0.95 else "yellow"),
        )
    return table


def _events(state: DemoState) -> Panel:
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for event in state.events:
        grid.add_row(
            Text(f"{event.at:%H:%M:%S}", style="dim"),
            Text(event.rule, style=_SEVERITIES.get(event.severity, "")),
            _lasted(event),
            Text(event.reason, style="dim"),
        )
    if not state.events:
        grid.add_row(Text("none yet", style="dim"), "", "", "")
    counts = " · ".join(f"{rule} {count}" for rule, count in state.started.items())
    return Panel(grid, title=f"events · {counts}", title_align="left", border_style="dim")


def _numbers(state: DemoState) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        Text.assemble(f"{state.classifications_per_s:.1f}", (" classifications/s", "dim")),
        Text.assemble(("capture to decision ", "dim"), _latency(state.decided)),
        Text.assemble(f"{state.cpu_percent:.0f} %", (" of a core, all in", "dim")),
    )
    grid.add_row(
        Text.assemble(f"{state.messages}", (" messages", "dim")),
        Text.assemble(("capture to subscriber ", "dim"), _latency(state.received)),
        Text.assemble(f"{state.messages_per_s:.1f}", (" messages/s", "dim")),
    )
    return grid


def _links(state: DemoState) -> Table:
    assert state.links is not None
    links = state.links
    grid = Table.grid(padding=(0, 2))
    grid.add_row(Text("live page", style="dim"), Text(links.page_url, style=f"link {links.page_url}"))
    grid.add_row(Text("metrics", style="dim"), links.metrics_url)
    grid.add_row(
        Text("topics", style="dim"),
        f"mosquitto_sub -h {links.mqtt_host} -p {links.mqtt_port} -v -t '{links.topics}'",
    )
    return grid


def _label(label: str) -> Text:
    return Text(label or "…", style=_COLOURS.get(label, ""))


def _truth(view: RegionView) -> Text:
    if not view.truth:
        return Text("")
    mark = (
        ("~", "dim") if not view.settled else ("=", "green") if view.truth == view.label else ("≠", "yellow")
    )
    return Text.assemble(mark, " ", (view.truth, "dim"))


def _bar(probability: float) -> Text:
    full = round(probability * 8)
    return Text.assemble(("█" * full, "blue"), ("░" * (8 - full), "dim"), f" {probability:4.2f}")


def _latency(spread: Spread | None) -> str:
    return f"{spread.p50_ms:.0f} ms, p99 {spread.p99_ms:.0f} ms" if spread is not None else "-"


def _lasted(event: EventView) -> str:
    return "now" if event.lasted_s is None else f"{event.lasted_s:.1f} s"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
