"""How the suite is shared out between processes (`pytest -n 3`, as `make test` does), and what may run twice.

Tests in real time wait for servers most of the time: they follow one another in two lanes, and the files of the others
are worked off beside them, by the next process that is free. With `--rerun-real-time` a real-time test that fails is
run once more, and the summary shows it with its failure (docs/decisions/0096-one-rerun.md).
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_REAL_TIME = ("tests/system/", "tests/faults/")
_RECORDINGS = "tests/system/test_profile_"
"""Replays of recordings with models trained for it: as fast as it goes, and the same each time."""
_FOLDERS = (
    "tests/faults/",
    "tests/system/delivery/",
    "tests/system/demo/",
    "tests/system/isolation/",
    "tests/system/pages/",
)
"""One lane; what else is in real time is the other, and takes as long."""
_SHORT, _LONG = "tests/unit/configuration/", (_RECORDINGS, "tests/unit/trainer/", "tests/unit/inference/")
"""At the start each process is given two pieces of work: the second of a lane's process waits for the lane's end, so it
should be short. Then what is long, so that nothing long is left when the others are through."""


def real_time(nodeid: str) -> bool:
    """Whether a test waits for servers, processes or clocks."""
    return nodeid.startswith(_REAL_TIME) and not nodeid.startswith(_RECORDINGS)


class Lanes(LoadScopeScheduling):
    """A process gets a file at a time; a lane is one long file."""

    def _split_scope(self, nodeid: str) -> str:
        if real_time(nodeid):
            return "folders" if nodeid.startswith(_FOLDERS) else "files"
        return nodeid.split("::", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    config.option.loadscopereorder = False  # in the order of `_place`
    return Lanes(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rerun-real-time", action="store_true", help="run a real-time test that fails once more"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--rerun-real-time"):
        for item in items:
            if real_time(item.nodeid):
                item.add_marker(pytest.mark.flaky(reruns=1))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(item.nodeid))


def _place(nodeid: str) -> int:
    if real_time(nodeid):
        return 0
    if nodeid.startswith(_SHORT):
        return 1
    return 2 if nodeid.startswith(_LONG) else 3


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Every rerun with the failure it follows: a net must not hide what falls into it."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"failed at first, run once more: {report.nodeid}", "-", yellow=True)
        terminalreporter.line(str(report.longrepr))
