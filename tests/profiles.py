"""The example configurations at work: models trained here with tiny budgets, examples replayed beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "docs" / "examples"
LABELS = REPOSITORY / "tests" / "data"
ZERO = datetime(1970, 1, 1, tzinfo=UTC)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Seen:
    """One event of a replay, in media seconds; `end_s` None where it never ended."""

    rule: str
    camera: str
    region: str
    label: str
    start_s: float
    end_s: float | None
    value: float | None
    reason: str


def run(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, timeout_s: float = 800.0
) -> str:
    """Standard output of a command; what it said on standard error is shown when it fails."""
    done = subprocess.run(
        list(map(str, arguments)),
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **(environment or {})},
        cwd=REPOSITORY,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def trainer(*arguments: str | Path) -> None:
    run(sys.executable, "-c", "from trainer.cli import main; main()", *arguments)


def fit(pictures: Path, out: Path, epochs: int, *arguments: str | Path) -> Path:
    """A 32 x 32 model of `pictures`; returns `out`."""
    trainer(
        "fit", pictures, "--out", out, "--arch", "classic", "--size", "32", "--epochs", str(epochs),
        "--quantise", "never", "--threads", "1", *arguments,
    )  # fmt: skip
    return out


def workplace(folder: Path, example: str, beside: Mapping[str, Path]) -> Path:
    """The example's configuration in `folder`, with the files it names beside it; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / example
    config.write_bytes((EXAMPLES / example).read_bytes())
    for name, path in beside.items():
        (folder / name).symlink_to(path)
    return config


def edgenode(config: Path, command: str, *arguments: str | Path) -> str:
    """Standard output of `edgenode COMMAND --config CONFIG …`, the state directory beside the file."""
    state = {"EDGENODE__NODE__STATE_DIR": str(config.parent / "state")}
    return run(sys.executable, "-m", "edgenode", command, "--config", config, *arguments, environment=state)


def steps(config: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """Every event step of a replay, as it would have been published."""
    out = config.with_suffix(".jsonl")
    edgenode(config, "replay", "--out", out, *arguments)
    return [json.loads(line) for line in out.read_text().splitlines()]


def seen(found: list[dict[str, Any]]) -> list[Seen]:
    """From steps to events, by start. Each event has exactly one start, and it comes first."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for step in found:
        by_id.setdefault(step["id"], []).append(step)
    events = []
    for of_one in by_id.values():
        assert [step["n"] for step in of_one] == list(range(len(of_one)))
        assert [step["event_type"] == "start" for step in of_one] == [True] + [False] * (len(of_one) - 1)
        first, last = of_one[0], of_one[-1]
        events.append(
            Seen(
                rule=first["rule"],
                camera=first["camera"] or "",
                region=first["region"] or "",
                label=first["label"] or "",
                start_s=_seconds(first["started_at"]),
                end_s=None if last["ended_at"] is None else _seconds(last["ended_at"]),
                value=first["value"],
                reason=last["reason"],
            )
        )
    return sorted(events, key=lambda event: event.start_s)


def _seconds(text: str) -> float:
    return (datetime.fromisoformat(text) - ZERO).total_seconds()
