"""Where the demo shows itself: a live table on a terminal, plain lines elsewhere, nothing beside JSON."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TextIO

from edgenode.demo.state import DemoState
from edgenode.errors import EdgeNodeError

if TYPE_CHECKING:
    from rich.live import Live

REFRESH_S = 0.25
PLAIN_REFRESH_S = 2.0


class Screen(Protocol):
    """What shows the demo's state while it runs."""

    refresh_s: float

    def show(self, state: DemoState) -> None: ...
    def close(self) -> None: ...


class _Silent:
    refresh_s = 60.0

    def show(self, state: DemoState) -> None:
        """JSON comes at the end."""

    def close(self) -> None:
        """Nothing is open."""


class _Plain:
    """One line every two seconds, and one for each event, when the output is no terminal."""

    refresh_s = PLAIN_REFRESH_S

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._told: set[tuple[datetime, str]] = set()
        self._greeted = False

    def show(self, state: DemoState) -> None:
        from edgenode.demo.table import event_line, line

        if state.links is not None and not self._greeted:
            self._greeted = True
            links = state.links
            print(
                f"live page {links.page_url}  metrics {links.metrics_url}  mqtt://{links.mqtt_host}:{links.mqtt_port}/{links.topics}",
                file=self._out,
            )
        for event in reversed(state.events):
            if event.lasted_s is not None and (event.at, event.rule) not in self._told:
                print(event_line(event), file=self._out)
        self._told = {(event.at, event.rule) for event in state.events if event.lasted_s is not None}
        print(line(state), file=self._out, flush=True)

    def close(self) -> None:
        """Nothing is open."""


class _Table:
    """The live table."""

    refresh_s = REFRESH_S

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live: Live = Live(console=Console(file=out), auto_refresh=False)
        self._live.start()

    def show(self, state: DemoState) -> None:
        from edgenode.demo.table import render

        self._live.update(render(state), refresh=True)

    def close(self) -> None:
        self._live.stop()


def screen_for(out: TextIO, silent: bool) -> Screen:
    """The screen that suits `out`. Raises EdgeNodeError where the table's library is missing."""
    if silent:
        return _Silent()
    if not out.isatty():
        return _Plain(out)
    try:
        return _Table(out)
    except ImportError as error:
        raise EdgeNodeError("the table needs rich: pip install 'edgenode[demo]'") from error
