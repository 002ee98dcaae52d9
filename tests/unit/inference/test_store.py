"""The store of installed models: only proven files get in, and a crash at any step leaves it whole."""

from __future__ import annotations

import os
import signal
import stat
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


def test_an_installed_file_has_its_hash_as_name_and_serves_only_when_activated(
    store: ModelStore, files: list[Path]
) -> None:
    model = store.install(files[0])
    assert model.path == store.folder / "tiny" / f"{file_sha256(files[0])}.onnx"
    assert model.path.read_bytes() == files[0].read_bytes()
    assert (model.active, model.previous, model.shadow) == (False, False, False)
    assert store.active("tiny") is None
    assert store.activate("tiny", model.sha256).active
    active = store.active("tiny")
    assert active is not None
    assert active.sha256 == model.sha256


def test_activate_remembers_the_one_before_and_rollback_exchanges_them(
    store: ModelStore, files: list[Path]
) -> None:
    first, second, third = (store.install(path) for path in files)
    for model in (first, second, third):
        store.activate("tiny", model.sha256)
    assert pointers(store) == (third.sha256, second.sha256)
    assert store.rollback("tiny").sha256 == second.sha256
    assert pointers(store) == (second.sha256, third.sha256)
    assert store.rollback("tiny").sha256 == third.sha256
    store.activate("tiny", third.sha256)
    assert pointers(store) == (third.sha256, second.sha256), "activating what is active forgets nothing"


def pointers(store: ModelStore) -> tuple[str | None, str | None]:
    active, previous = store.active("tiny"), store.previous("tiny")
    return active and active.sha256, previous and previous.sha256


def test_rollback_without_an_earlier_version_is_refused(store: ModelStore, files: list[Path]) -> None:
    model = store.install(files[0])
    with pytest.raises(ModelError, match="no earlier version"):
        store.rollback("tiny")
    store.activate("tiny", model.sha256)
    with pytest.raises(ModelError, match="no earlier version"):
        store.rollback("tiny")
    active = store.active("tiny")
    assert active is not None


def test_shadow_names_and_forgets(store: ModelStore, files: list[Path]) -> None:
    model = store.install(files[1])
    assert store.shadowed("tiny") is None
    shadow = store.shadow("tiny", model.sha256)
    assert shadow is not None
    assert shadow.shadow
    assert store.shadowed("tiny") == shadow
    assert store.shadow("tiny", None) is None
    assert store.shadowed("tiny") is None


@pytest.mark.parametrize("defect", ["golden_wrong", "external_initializer", "no_card", "truncated"])
def test_a_model_that_is_refused_leaves_nothing_behind(
    store: ModelStore, tmp_path: Path, defect: str
) -> None:
    with pytest.raises(ModelError):
        store.install(make_model(tmp_path / "bad.onnx", defect=defect))
    assert store.models() == ()
    assert not store.folder.exists()


def test_another_hash_than_the_expected_one_is_refused(store: ModelStore, files: list[Path]) -> None:
    with pytest.raises(ModelError, match="expected"):
        store.install(files[0], expected_sha256="0" * 64)
    assert (
        store.install(files[0], expected_sha256=file_sha256(files[0])).size_bytes == files[0].stat().st_size
    )


def test_a_damaged_copy_is_not_activated_and_installing_again_mends_it(
    store: ModelStore, files: list[Path]
) -> None:
    model = store.install(files[0])
    damaged = bytearray(model.path.read_bytes())
    damaged[200] ^= 1
    model.path.write_bytes(damaged)
    for change in (store.activate, store.shadow):
        with pytest.raises(ModelError, match="damaged"):
            change("tiny", model.sha256)
    assert store.active("tiny") is None
    store.install(files[0])
    assert store.activate("tiny", model.sha256).active


def test_prune_keeps_what_is_named_and_the_newest_others(store: ModelStore, tmp_path: Path) -> None:
    models = [store.install(make_model(tmp_path / "m.onnx", version=str(n))) for n in range(7)]
    for n, model in enumerate(models):
        os.utime(model.path, ns=(n, n))
    store.activate("tiny", models[0].sha256)
    store.activate("tiny", models[1].sha256)
    store.shadow("tiny", models[2].sha256)
    assert set(store.prune("tiny", keep=2)) == {models[3].sha256, models[4].sha256}
    assert {model.sha256 for model in store.models("tiny")} == {models[n].sha256 for n in (0, 1, 2, 5, 6)}


def test_remove_refuses_what_a_pointer_names(store: ModelStore, files: list[Path]) -> None:
    first, second = store.install(files[0]), store.install(files[1])
    store.activate("tiny", first.sha256)
    with pytest.raises(ModelError, match="is active"):
        store.remove("tiny", first.sha256)
    store.remove("tiny", second.sha256)
    assert [model.sha256 for model in store.models()] == [first.sha256]


def test_models_of_several_names_are_listed(store: ModelStore, tmp_path: Path) -> None:
    for name in ("zebra", "apple"):
        store.install(make_model(tmp_path / "m.onnx", name=name))
    (store.folder / "apple" / "notes.txt").write_text("not a model")
    assert [model.name for model in store.models()] == ["apple", "zebra"]


def test_the_beginning_of_a_hash_is_enough_to_find_it(store: ModelStore, files: list[Path]) -> None:
    model = store.install(files[0])
    assert store.find("tiny", model.sha256[:8]) == model
    for wrong in ("abc", "not-hexadecimal", "../../etc", ""):
        with pytest.raises(ModelError):
            store.find("tiny", wrong)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "Tiny", "a" * 33, "tiny\n", ".hidden"])
def test_names_that_are_not_names_are_refused(store: ModelStore, name: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.activate(name, "0" * 64),
        lambda: store.rollback(name),
        lambda: store.shadow(name, None),
        lambda: store.remove(name, "0" * 64),
        lambda: store.prune(name, 1),
        lambda: store.active(name),
        lambda: store.find(name, "0" * 64),
    ]
    for call in calls:
        with pytest.raises(ModelError, match="is no model name"):
            call()


@pytest.mark.parametrize("sha256", ["0" * 64, "../../../etc/passwd", "", "A" * 64])
def test_what_is_not_installed_cannot_be_activated(store: ModelStore, files: list[Path], sha256: str) -> None:
    store.install(files[0])
    with pytest.raises(ModelError, match="not installed"):
        store.activate("tiny", sha256)
    with pytest.raises(ModelError, match="not installed"):
        ModelStore(store.folder / "nowhere").activate("tiny", "0" * 64)


def test_a_folder_that_cannot_be_written_is_a_model_error(tmp_path: Path, files: list[Path]) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="cannot be changed"):
        ModelStore(tmp_path / "state").install(files[0])


def test_a_pointer_to_a_file_that_is_gone_says_so(store: ModelStore, files: list[Path]) -> None:
    model = store.install(files[0])
    store.activate("tiny", model.sha256)
    model.path.unlink()
    with pytest.raises(ModelError, match=r"`active` names .* which is gone"):
        store.active("tiny")
    store.install(files[0])
    assert store.active("tiny") == store.find("tiny", model.sha256)


def test_others_on_the_machine_cannot_read_the_models(store: ModelStore, files: list[Path]) -> None:
    model = store.install(files[0])
    assert stat.S_IMODE(model.path.parent.stat().st_mode) & 0o007 == 0


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
