"""`python -m scripts.reference` writes the generated documents and dashboards and says which were not up to
date; with `--check` it only says so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from scripts.reference.asyncapi import asyncapi_text
from scripts.reference.configuration import configuration_page
from scripts.reference.dashboards import DASHBOARDS
from scripts.reference.grafana import dashboard_text
from scripts.reference.topics import topics_page

ROOT = Path(__file__).parents[2]
DOCUMENTS: dict[str, Callable[[], str]] = {
    "docs/configuration.md": configuration_page,
    "docs/topics.md": topics_page,
    "docs/asyncapi.yaml": asyncapi_text,
    **{f"deploy/grafana/dashboards/{each.name}.json": partial(dashboard_text, each) for each in DASHBOARDS},
}


def main(arguments: list[str]) -> int:
    stale = []
    for name, generate in DOCUMENTS.items():
        path, text = ROOT / name, generate()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    sys.stdout.write("".join(f"{name}\n" for name in stale))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
