"""Fixtures that every kind of test shares."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

# a shell starts what runs in the background deaf to Ctrl-C, and programs that tests start would inherit it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# an example that takes 200 ms on a busy machine is no failure
settings.register_profile(
    "unhurried",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=(HealthCheck.too_slow,),
)
settings.load_profile("unhurried")
if os.environ.get("CI") and hasattr(providers, "_get_local_constants"):
    # Examples are mixed with constants of the modules that happen to be imported: with another order of tests there
    # would be other examples, though the profile for CI asks for the same ones each time.
    providers._get_local_constants = lambda: providers._local_constants


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures, clips and models: `../shared/data` beside the repository, or EDGENODE_TEST_DATA."""
    named = os.environ.get("EDGENODE_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set EDGENODE_TEST_DATA")
    return folder


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    """Fails the test if a thread or an open file is left when it is over. Ask for it first, so that the other
    fixtures end before it looks."""
    threads, files = set(threading.enumerate()), _open_files()
    yield
    deadline_s = time.monotonic() + 60.0
    for thread in set(threading.enumerate()) - threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    gc.collect()
    left = [thread.name for thread in set(threading.enumerate()) - threads]
    assert not left, f"threads left behind: {left}"
    # a server of an earlier test may still be ending a connection: what is left for good stays, that does not
    pause = threading.Event()
    while (opened := _opened_since(files)) and time.monotonic() < deadline_s:
        pause.wait(0.05)
    assert not opened, f"files left open: {opened}"


def _opened_since(files: dict[str, str]) -> dict[str, str]:
    return {number: what for number, what in _open_files().items() if files.get(number) != what}


def _open_files() -> dict[str, str]:
    """Descriptor to what it is open on, of this process."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
    return found
