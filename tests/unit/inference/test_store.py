"""The store of installed models: only proven files get in, and a crash at any step leaves it whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

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
