"""Fixtures that every kind of test shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures, clips and models: `../shared/data` beside the repository, or EDGENODE_TEST_DATA."""
    named = os.environ.get("EDGENODE_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set EDGENODE_TEST_DATA")
    return folder
