"""Who may import whom: read from the sources, so that a shortcut does not go unnoticed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("capture", "inference", "decision", "delivery")
SHARED = {f"edgenode.{name}" for name in ("records", "errors", "clock", "settings")}
MAY_IMPORT = {
    "capture": SHARED,
    "inference": SHARED,
    "decision": {"edgenode.records", "edgenode.errors"},
    "delivery": SHARED,
    "telemetry": SHARED,
}
"""What a stage, beside its own modules and other people's libraries, may import."""
HOMES = {
    "paho": "edgenode.delivery",
    "amqtt": "edgenode.delivery",
    "onnxruntime": "edgenode.inference",
    "cryptography": "edgenode.inference",
    "av": "edgenode.capture",
    "prometheus_client": "edgenode.telemetry",
}
"""The one package of the daemon that may import a library."""
RIVALS = {"edgenode.bench.rivals"}
"""What the benchmark compares the node with: loops as others would write them, which use the libraries bare."""
NOT_IN_THE_DAEMON = {"torch", "onnx", "onnxscript", "matplotlib", "sympy", "trainer"}
HEAVY = {
    "cv2",
    "av",
    "onnxruntime",
    "torch",
    "matplotlib",
    "rich",
    "amqtt",
    "paho",
    "prometheus_client",
    "cryptography",
}
"""What `edgenode --help` must not wait for."""
TRAINER_MAY_IMPORT = {
    "edgenode",
    "edgenode.records",
    "edgenode.errors",
    "edgenode.settings",
    "edgenode.clock",
    "edgenode.inference.card",
    "edgenode.inference.pixels",
    "edgenode.inference.classifier",
    "edgenode.inference.runtime",
}
TRAINER_MAY_IMPORT_BELOW = ("edgenode.capture", "edgenode.decision")


@dataclass(frozen=True, slots=True)
class Import:
    """`module` imports `target` on `line`. `runs`: as `module` itself is imported, not later or for types."""

    module: str
    target: str
    line: int
    runs: bool

    def __str__(self) -> str:
        return f"{self.module} line {self.line} imports {self.target}"


def _sources(package: str) -> dict[str, Path]:
    """Module name to file."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _is_typing_only(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"


def _source(module: str, node: ast.ImportFrom) -> str:
    """The module that `from … import` names, also where it is written relative to `module`."""
    if node.level == 0:
        assert node.module is not None
        return node.module
    parts = module.split(".")
    above = node.level - (MODULES[module].name == "__init__.py")
    return ".".join(parts[: len(parts) - above] + ([node.module] if node.module else []))


def _walk(module: str, body: list[ast.stmt], runs: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, node.lineno, runs) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _source(module, node)
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield Import(module, full if full in MODULES else source, node.lineno, runs)
        else:
            later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_typing_only(node)
            for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                inner = getattr(node, field, [])
                skipped = later and field == "body"
                for child in inner if isinstance(inner, list) else []:
                    block = [child] if isinstance(child, ast.stmt) else child.body
                    yield from _walk(module, block, runs and not skipped)


DAEMON = _sources("edgenode")
TRAINER = _sources("trainer")
MODULES = DAEMON | TRAINER
IMPORTS = [
    found
    for module, path in MODULES.items()
    for found in _walk(module, ast.parse(path.read_text(encoding="utf-8"), str(path)).body, True)
]
BY_DAEMON = [found for found in IMPORTS if found.module in DAEMON]


def _top(name: str) -> str:
    return name.split(".")[0]


def _is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_there_is_something_to_check() -> None:
    assert len(DAEMON) > 40
    assert len(BY_DAEMON) > 200
    assert any(not found.runs for found in BY_DAEMON)


@pytest.mark.parametrize("stage", sorted(MAY_IMPORT))
def test_stages_know_only_the_shared_contracts(stage: str) -> None:
    package = f"edgenode.{stage}"
    wrong = [
        str(found)
        for found in BY_DAEMON
        if _is_below(found.module, package)
        and _top(found.target) == "edgenode"
        and not _is_below(found.target, package)
        and found.target not in MAY_IMPORT[stage] | {"edgenode"}
    ]
    assert not wrong, wrong


def test_decision_is_pure() -> None:
    """No clock, no threads, no input or output: only the standard library's pure parts, and no libraries."""
    impure = {
        *("threading", "time", "os", "io", "socket", "pathlib", "subprocess", "logging", "random", "asyncio"),
        *("numpy", "cv2", "pydantic"),
    }
    wrong = [
        str(found)
        for found in BY_DAEMON
        if _is_below(found.module, "edgenode.decision") and _top(found.target) in impure
    ]
    assert not wrong, wrong


@pytest.mark.parametrize("library", sorted(HOMES))
def test_each_library_has_one_home(library: str) -> None:
    users = [found for found in BY_DAEMON if _top(found.target) == library]
    wrong = [
        str(found)
        for found in users
        if not _is_below(found.module, HOMES[library]) and found.module not in RIVALS
    ]
    assert not wrong, wrong


def test_video_is_captured_in_capture_only() -> None:
    wrong = [
        f"{module} line {node.lineno}"
        for module, path in MODULES.items()
        if not _is_below(module, "edgenode.capture") and module not in RIVALS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("VideoCapture", "VideoWriter")
    ]
    assert not wrong, wrong


def test_the_daemon_does_without_the_trainer() -> None:
    wrong = [str(found) for found in BY_DAEMON if _top(found.target) in NOT_IN_THE_DAEMON]
    assert not wrong, wrong


def test_only_the_demo_draws_tables() -> None:
    users = [found for found in BY_DAEMON if _top(found.target) == "rich"]
    wrong = [str(found) for found in users if not _is_below(found.module, "edgenode.demo")]
    assert not wrong, wrong


def test_the_trainer_takes_little_from_the_daemon() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if found.module in TRAINER
        and _top(found.target) == "edgenode"
        and found.target not in TRAINER_MAY_IMPORT
        and not any(_is_below(found.target, package) for package in TRAINER_MAY_IMPORT_BELOW)
    ]
    assert not wrong, wrong


def test_the_command_line_starts_light() -> None:
    """Follows what importing `edgenode.cli` runs."""
    reached: set[str] = set()
    waiting = ["edgenode.cli"]
    heavy: list[str] = []
    while waiting:
        module = waiting.pop()
        if module in reached:
            continue
        reached.add(module)
        for found in IMPORTS:
            if found.module == module and found.runs:
                if _top(found.target) in HEAVY:
                    heavy.append(str(found))
                parts = found.target.split(".")
                waiting += [name for n in range(len(parts)) if (name := ".".join(parts[: n + 1])) in MODULES]
    assert {"edgenode.cli", "edgenode.errors"} <= reached
    assert not heavy, heavy
