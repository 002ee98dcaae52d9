"""`edgenode model`: look at model files, and manage the installed ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgenode.cli import config_option, read_settings

if TYPE_CHECKING:
    from edgenode.inference.store import ModelStore
    from edgenode.settings import Settings


@click.group("model")
def model_group() -> None:
    """Inspect and manage model files."""


@model_group.command("inspect")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--prove/--no-prove", default=True, help="Load it and run its golden vector.")
def inspect_command(file: Path, as_json: bool, prove: bool) -> None:
    """Show the card of FILE: labels, input, evaluation, origin; and whether this node accepts it."""
    from edgenode.inference.inspect import inspection, inspection_json, inspection_text

    found = inspection(file, prove=prove)
    click.echo(inspection_json(found) if as_json else inspection_text(found))


@model_group.command("install")
@config_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--sha256", help="Refuse any other file.")
@click.option("--activate/--no-activate", default=False, help="Let it serve from the next reload on.")
@click.option("--force", is_flag=True, help="Activate it though nothing shows that it is as good.")
def install_command(config_path: Path, file: Path, sha256: str | None, activate: bool, force: bool) -> None:
    """Prove FILE and copy it into the node's store, under the name in its card."""
    from edgenode.wiring import classifier_options

    settings, store = _store(config_path)
    installed = store.install(file, sha256, classifier_options(settings, config_path.parent))
    click.echo(f"installed {installed.name} {installed.sha256}")
    if activate:
        _activate(settings, store, installed.name, installed.sha256, force)


@model_group.command("list")
@config_option
def list_command(config_path: Path) -> None:
    """List installed models, what points at them, and which are in quarantine."""
    _, store = _store(config_path)
    for model in store.models():
        marks = [mark for mark in ("active", "previous", "shadow") if getattr(model, mark)]
        if model.quarantined is not None:
            marks.append(f"quarantined: {model.quarantined}")
        click.echo(f"{model.name:20} {model.sha256}  {model.size_bytes:>10,} B  {' '.join(marks)}".rstrip())


@model_group.command("activate")
@config_option
@click.argument("name")
@click.argument("sha256")
@click.option("--force", is_flag=True, help="Though nothing shows that it is as good as what is active.")
def activate_command(config_path: Path, name: str, sha256: str, force: bool) -> None:
    """Let the installed file whose hash begins with SHA256 serve as NAME.

    Its card must hold a comparison with what is active, by `edgenode-trainer compare --attest`. What a shadow
    measured counts for the command `model_activate` over MQTT.
    """
    settings, store = _store(config_path)
    _activate(settings, store, name, store.find(name, sha256).sha256, force)


@model_group.command("rollback")
@config_option
@click.argument("name")
def rollback_command(config_path: Path, name: str) -> None:
    """Go back to the version of NAME that was active before."""
    _, store = _store(config_path)
    model = store.rollback(name)
    click.echo(f"{model.name} {model.sha256} is active; {_RELOAD}")


@model_group.command("shadow")
@config_option
@click.argument("name")
@click.argument("sha256", required=False)
@click.option("--end", is_flag=True, help="No shadow any more.")
def shadow_command(config_path: Path, name: str, sha256: str | None, end: bool) -> None:
    """Let the installed file whose hash begins with SHA256 answer beside what serves as NAME."""
    if (sha256 is None) != end:
        raise click.UsageError("give SHA256, or --end")
    _, store = _store(config_path)
    model = store.shadow(name, store.find(name, sha256).sha256 if sha256 is not None else None)
    click.echo(f"{name}: {'no shadow' if model is None else f'{model.sha256} is the shadow'}; {_RELOAD}")


@model_group.command("release")
@config_option
@click.argument("name")
@click.argument("sha256")
def release_command(config_path: Path, name: str, sha256: str) -> None:
    """End the quarantine of the file whose hash begins with SHA256: it may be activated again."""
    _, store = _store(config_path)
    found = [each for each in store.quarantined(name) if each.startswith(sha256)]
    if len(found) != 1:
        raise click.UsageError(
            f"{len(found)} files of {name} in quarantine have a sha256 that begins with {sha256}"
        )
    store.release(name, found[0])
    click.echo(f"{name} {found[0]} may be activated again")


@model_group.command("keygen")
@click.argument("private", type=click.Path(path_type=Path, dir_okay=False))
def keygen_command(private: Path) -> None:
    """Write a new key to PRIVATE, and its public half to PRIVATE.pub for `rollout.trusted_keys`."""
    from edgenode.inference.signature import new_key

    public = private.with_name(f"{private.name}.pub")
    click.echo(f"{public}: key {new_key(private, public)}; keep {private} off the gateways")


@model_group.command("sign")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The private key."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="By default FILE itself.")
def sign_command(file: Path, key: Path, out: Path | None) -> None:
    """Sign FILE. Its sha256, which is the model's identity, is another one afterwards."""
    from edgenode.inference.signature import sign_file

    signed = sign_file(file, key, out if out is not None else file)
    click.echo(f"{out or file}: signed by key {signed.key_id}, sha256 {signed.sha256}")


@model_group.command("verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", "keys", type=click.Path(path_type=Path, dir_okay=False), multiple=True, required=True,
              help="A public key; several may be given.")  # fmt: skip
def verify_command(file: Path, keys: tuple[Path, ...]) -> None:
    """Say which of the keys signed FILE. Exits with 1 where none did."""
    from edgenode.inference.onnx_file import read_model_bytes
    from edgenode.inference.signature import trusted

    signer = trusted(keys, required=True).check(read_model_bytes(file), str(file))
    click.echo(f"{file}: signed by key {signer}")


_RELOAD = "a running node takes it with a reload (systemctl reload edgenode, or the command `reload`)"


def _activate(settings: Settings, store: ModelStore, name: str, sha256: str, force: bool) -> None:
    from edgenode.errors import ModelError
    from edgenode.inference.onnx_file import read_card
    from edgenode.rollout.judgement import gate

    active = store.active(name)
    refused = None
    if active is not None and active.sha256 != sha256:
        refused = gate(read_card(store.find(name, sha256).path), active.sha256, None, settings.rollout)
    if refused is not None and not force:
        raise ModelError(
            f"model {name} {sha256[:12]} is not promoted: {refused}. Try it as shadow, compare it with "
            "`edgenode-trainer compare --attest`, or --force it"
        )
    model = store.activate(name, sha256, forced=refused is not None)
    if refused is not None:
        click.echo(f"forced: {refused}", err=True)
    click.echo(f"{model.name} {model.sha256} is active; {_RELOAD}")


def _store(config_path: Path) -> tuple[Settings, ModelStore]:
    from edgenode.inference.store import ModelStore

    settings = read_settings(config_path)
    return settings, ModelStore(config_path.parent / settings.node.state_dir)
