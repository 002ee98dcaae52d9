"""One broker with certificates for all tests of who may do what there."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.mosquitto import MOSQUITTO
from tests.system.delivery.broker_stage import Stage


@pytest.fixture
def no_socket_left() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if not Path(MOSQUITTO).exists():
        if os.environ.get("CI"):
            pytest.fail("mosquitto is not installed: apt install mosquitto")
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    stage = Stage(tmp_path_factory.mktemp("secure"))
    yield stage
    stage.broker.kill()
