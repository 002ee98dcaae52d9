"""A crash at any step, by a cut at any system call and by kill -9, leaves the store of models whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edgenode.errors import ModelError
from edgenode.inference.onnx_file import file_sha256
from edgenode.inference.store import ModelStore
from tests.models import make_model

VERSIONS = ("1", "2", "3")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [make_model(tmp_path / "incoming" / f"v{version}.onnx", version=version) for version in VERSIONS]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "state")


class Crash(BaseException):
    """The power fails here."""


class CrashMachine(RuleBasedStateMachine):
    """Any sequence of changes, each of which may be cut off at any of its system calls."""

    files: tuple[Path, ...] = ()
    root: Path

    @initialize()
    def make(self) -> None:
        CrashMachine.runs += 1
        self.store = ModelStore(self.root / f"run-{CrashMachine.runs}")
        self.hashes = [file_sha256(path) for path in self.files]
        self.activated = False

    runs = 0

    @rule(
        which=st.integers(0, 2),
        verb=st.sampled_from(["install", "activate", "shadow", "rollback", "prune"]),
        crash_at=st.one_of(st.none(), st.integers(0, 12)),
    )
    def change(self, which: int, verb: str, crash_at: int | None) -> None:
        before = self.active()
        sha256 = self.hashes[which]
        try:
            with cut_off(crash_at):
                if verb == "install":
                    self.store.install(self.files[which])
                elif verb == "activate":
                    self.store.activate("tiny", sha256)
                elif verb == "shadow":
                    self.store.shadow("tiny", sha256)
                elif verb == "rollback":
                    self.store.rollback("tiny")
                else:
                    self.store.prune("tiny", 0)
        except Crash:
            if verb == "activate":
                assert self.active() in (before, sha256)
            elif verb != "rollback":
                assert self.active() == before
        except ModelError:
            assert self.active() == before
        else:
            if verb == "activate":
                assert self.active() == sha256
            if verb == "install":
                assert self.store.find("tiny", sha256).sha256 == sha256

    def active(self) -> str | None:
        model = ModelStore(self.store.folder.parent).active("tiny")
        return model and model.sha256

    @invariant()
    def whole(self) -> None:
        if not hasattr(self, "store"):
            return
        assert_whole(self.store)
        active = self.active()
        assert active is not None or not self.activated, "what was active once is replaced, never lost"
        self.activated = active is not None


def assert_whole(store: ModelStore) -> None:
    """Every file is what its name says, and every pointer that is there names one."""
    for model in store.models():
        assert file_sha256(model.path) == model.sha256
    for name in ("active", "previous", "shadow"):
        path = store.folder / "tiny" / name
        if path.exists():
            assert (store.folder / "tiny" / f"{path.read_text().strip()}.onnx").is_file()


class cut_off:  # noqa: N801 - reads as a statement
    """Within the block, the system call with this number raises Crash instead of happening. `calls` has those
    that happened."""

    NAMES = ("fsync", "replace", "unlink", "mkdir", "open")

    def __init__(self, crash_at: int | None) -> None:
        self.left = crash_at
        self.calls: list[str] = []
        self.real: dict[str, Callable[..., object]] = {}

    def __enter__(self) -> Self:
        for name in self.NAMES:
            self.real[name] = getattr(os, name)
            setattr(os, name, self.wrap(name, self.real[name]))
        return self

    def __exit__(self, *_: object) -> None:
        for name, real in self.real.items():
            setattr(os, name, real)

    def wrap(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise Crash
            self.calls.append(name)
            return real(*args, **options)

        return call


def test_the_store_is_whole_after_a_crash_at_any_step(tmp_path: Path, files: list[Path]) -> None:
    CrashMachine.root, CrashMachine.files = tmp_path, tuple(files)
    run_state_machine_as_test(
        CrashMachine, settings=settings(max_examples=40, stateful_step_count=15, deadline=None)
    )


def test_a_file_is_on_disk_before_its_name_and_the_name_before_the_next_step(
    store: ModelStore, files: list[Path]
) -> None:
    """The order that survives a power cut: fsync the file, rename it, fsync the folder."""
    written = ["fsync", "replace", "open", "fsync"]
    model = store.install(files[0])
    other = store.install(files[1])
    store.activate("tiny", other.sha256)
    with cut_off(None) as watch:
        store.install(files[0])
    assert watch.calls[watch.calls.index("fsync") :] == written
    with cut_off(None) as watch:
        store.activate("tiny", model.sha256)
    assert watch.calls[watch.calls.index("fsync") :] == written * 2, "first `previous`, then `active`"


CHURN = """
import sys
from pathlib import Path
from edgenode.inference.onnx_file import file_sha256
from edgenode.inference.store import ModelStore
store, files = ModelStore(Path(sys.argv[1])), [Path(p) for p in sys.argv[2:]]
hashes = [file_sha256(p) for p in files]
turn = 0
while True:
    for path, sha256 in zip(files, hashes):
        store.install(path)
        store.activate("tiny", sha256)
        store.shadow("tiny", hashes[0])
    store.rollback("tiny")
    store.prune("tiny", 0)
    turn += 1
    print(turn, flush=True)
"""


def test_the_store_is_whole_after_kill_9(tmp_path: Path, store: ModelStore, files: list[Path]) -> None:
    state = store.folder.parent
    for kill in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", CHURN, str(state), *map(str, files)], stdout=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline(), "the churning process did not get through one turn"
            end_s = time.perf_counter() + 0.0007 * kill  # a different place in the turn each time
            while time.perf_counter() < end_s:
                pass
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert_whole(store)
        assert store.active("tiny") is not None
        store.activate("tiny", store.install(files[kill % 3]).sha256)
        assert [path.name for path in (store.folder / "tiny").iterdir() if path.name.startswith(".")] == []
