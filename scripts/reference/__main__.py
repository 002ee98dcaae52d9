"""`python -m scripts.reference` writes the generated documents; `--check` says which are not up to date."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from scripts.reference.asyncapi import asyncapi_text
from scripts.reference.configuration import configuration_page
from scripts.reference.topics import topics_page

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENTS: dict[str, Callable[[], str]] = {
    "configuration.md": configuration_page,
    "topics.md": topics_page,
    "asyncapi.yaml": asyncapi_text,
}


def main(arguments: list[str]) -> int:
    stale = []
    for name, generate in DOCUMENTS.items():
        path, text = DOCS / name, generate()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    sys.stdout.write("".join(f"docs/{name}\n" for name in stale))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
