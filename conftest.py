"""Fixtures that start servers; here because pytest takes plugins from the root's conftest only."""

from __future__ import annotations

pytest_plugins = [
    "tests.fixtures_servers",
    "tests.servers.mosquitto",
    "tests.system.plant",
    "tests.browser",
    "tests.lanes",
]
