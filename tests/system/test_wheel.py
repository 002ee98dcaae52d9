"""The wheel, as `pipx` installs it: a command line and a demo, with nothing of the checkout beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgenode

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=800,
        cwd="/",
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment,
    )
    if "Temporary failure in name resolution" in done.stderr + done.stdout:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def test_pipx_installs_the_wheel_and_the_demo_runs_from_it(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("edgenode-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "tools")
    run(tmp_path / "tools/bin/pip", "install", "--quiet", "pipx")
    places = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    run(
        tmp_path / "tools/bin/pipx",
        "install",
        "--python",
        sys.executable,
        f"edgenode[demo] @ {wheel.as_uri()}",
        **places,
    )
    program = tmp_path / "bin/edgenode"
    assert run(program, "--version") == f"edgenode, version {edgenode.__version__}\n"
    assert {path.name for path in (tmp_path / "bin").iterdir()} == {"edgenode", "edgenode-trainer"}
    said = run(program, "demo", "--seconds", "5")
    assert "defective_part" in said
    assert "/metrics" in said
