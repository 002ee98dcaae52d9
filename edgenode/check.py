"""Proves a configuration beyond its form: names that must exist elsewhere, files, folders, networks.

Nothing is opened but files; no camera, no broker. Every mistake is found in one go, each one line that begins
with `file:line: key.path:`. `edgenode check`, start and reload use the same text.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgenode.config_file import LoadedSettings
from edgenode.errors import EdgeNodeError
from edgenode.nearest import suggestion
from edgenode.settings import CameraSettings, ModelSettings, RegionSettings, Settings
from edgenode.toml_places import KeyPath

if TYPE_CHECKING:
    from edgenode.inference.card import ModelCard

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
EMBEDDED = "embedded"
"""The broker host that stands for the built-in development broker."""
LabelsByRegion = Mapping[tuple[str, str], tuple[str, ...]]
"""(camera, region) to the labels of its model."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What the check asks the stages. They are heavy to import, so `real_probes` fetches them when needed."""

    read_card: Callable[[Path], ModelCard]
    """Raises EdgeNodeError when the file is refused, OSError when it cannot be read."""
    file_sha256: Callable[[Path], str]
    source_problem: Callable[[str, Path], str | None]
    """What is wrong with a source, without opening it."""
    rule_problems: Callable[[Settings, LabelsByRegion], list[str]]
    installed_model: Callable[[Path, str], Path | None]
    """(state folder, model name) to the store's active file of that name."""


def real_probes() -> Probes:
    """The stages' own functions."""
    from edgenode.capture.opening import source_problem
    from edgenode.decision_setup import rule_problems
    from edgenode.inference.onnx_file import file_sha256, read_card
    from edgenode.inference.store import ModelStore

    def installed_model(state_dir: Path, name: str) -> Path | None:
        active = ModelStore(state_dir).active(name)
        return active.path if active is not None else None

    return Probes(read_card, file_sha256, source_problem, rule_problems, installed_model)


def problems(loaded: LoadedSettings, probes: Probes | None = None) -> list[str]:
    """Every reason why this configuration cannot work; empty when it can. Touches nothing but files."""
    check = _Check(loaded, probes if probes is not None else real_probes())
    check.models()
    check.cameras()
    check.mqtt()
    check.state_dir()
    check.rules()
    return check.found


def warnings(loaded: LoadedSettings) -> list[str]:
    """What works and may still not be meant; written once at start, and by `edgenode check`."""
    settings, found = loaded.settings, []
    host = settings.http.address[0]
    if settings.http.enabled and not is_loopback(host):
        found.append(
            loaded.problem(
                ("http", "listen"),
                f"metrics and status are open to everybody who reaches {host}; there is no password. "
                'Use "127.0.0.1:9464" and a proxy, or a firewall',
            )
        )
    if (
        settings.mqtt.password is not None
        and ("mqtt", "password") in loaded.lines
        and _readable_by_all(loaded.path)
    ):
        found.append(
            loaded.problem(
                ("mqtt", "password"),
                f"every user of this machine can read it; use password_file, or chmod 640 {loaded.path}",
            )
        )
    if settings.mqtt.allow_insecure and settings.mqtt.ca_file is None and not is_loopback(settings.mqtt.host):
        found.append(
            loaded.problem(
                ("mqtt", "allow_insecure"), "events and the password cross the network unencrypted"
            )
        )
    if not settings.cameras:
        found.append(loaded.problem((), "no [[cameras]]: the node will run and see nothing"))
    return found


def is_loopback(host: str) -> bool:
    """Whether `host` never leaves this machine. Names other than `localhost` are not looked up."""
    if host in ("localhost", EMBEDDED) or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class _Check:
    def __init__(self, loaded: LoadedSettings, probes: Probes) -> None:
        self._loaded = loaded
        self._settings = loaded.settings
        self._probes = probes
        self._cards: dict[str, ModelCard] = {}
        self.found: list[str] = []

    def _add(self, key: KeyPath, reason: str) -> None:
        self.found.append(self._loaded.problem(key, reason))

    def models(self) -> None:
        for name, model in self._settings.models.items():
            card = self._card(name, model)
            if card is not None:
                self._cards[name] = card

    def _card(self, name: str, model: ModelSettings) -> ModelCard | None:
        key: KeyPath = ("models", name, "file")
        try:
            path = model_file(self._loaded, model, self._probes.installed_model)
        except EdgeNodeError as error:
            self._add(key, str(error))
            return None
        if path is None:
            self._add(
                key,
                f"no file {self._loaded.base_dir / model.file}, and no model of this name is installed in "
                f"{self._settings.node.state_dir}; copy the file there or use `edgenode model install`",
            )
            return None
        try:
            card = self._probes.read_card(path)
            sha256 = self._probes.file_sha256(path)
        except OSError as error:
            self._add(key, f"{path} cannot be read: {error.strerror or error}")
            return None
        except EdgeNodeError as error:
            self._add(key, f"the model is refused: {error}")
            return None
        if model.sha256 is not None and model.sha256 != sha256:
            self._add(
                ("models", name, "sha256"), f"{path} has the sha256 {sha256}: another file than was meant"
            )
        return card

    def cameras(self) -> None:
        devices: dict[str, str] = {}
        for index, camera in enumerate(self._settings.cameras):
            key: KeyPath = ("cameras", index)
            problem = self._probes.source_problem(camera.source, self._loaded.base_dir)
            if problem is not None:
                self._add((*key, "source"), problem)
            device = usb_device(camera.source) if camera.enabled else None
            if device is not None:
                other = devices.setdefault(device, camera.name)
                if other != camera.name:
                    self._add((*key, "source"), f"camera {other!r} uses the same device {device}")
            for number, region in enumerate(regions_of(camera)):
                self._region((*key, "regions", number) if camera.regions else key, region)

    def _region(self, key: KeyPath, region: RegionSettings) -> None:
        known = self._settings.models
        if region.model is not None and region.model not in known:
            self._add((*key, "model"), f'no model "{region.model}"{_among(region.model, known, "[models]")}')
        elif region.model is None and len(known) != 1:
            reason = (
                f"there are several models: say which one ({', '.join(sorted(known))})"
                if known
                else "there is no model to classify with: add one under [models]"
            )
            self._add(
                key if key[-1] != "frame" else key[:-1], f"region {region.name!r} names no model; {reason}"
            )
        card = self._cards.get(model_of(self._settings, region) or "")
        if card is None:
            return
        for label in region.smoothing.labels:
            if label not in card.labels:
                self._add(
                    (*key, "smoothing", "labels", label),
                    f'"{label}" is no label of model "{card.name}"{suggestion(label, card.labels)}',
                )

    def mqtt(self) -> None:
        mqtt = self._settings.mqtt
        if mqtt.ca_file is None and not mqtt.allow_insecure and not is_loopback(mqtt.host):
            self._add(
                ("mqtt", "host"),
                f"{mqtt.host} is beyond this machine and ca_file is not set, so everything would cross the "
                "network unencrypted; set ca_file, or allow_insecure = true if that is meant",
            )
        for name in ("password_file", "ca_file", "cert_file", "key_file"):
            path: Path | None = getattr(mqtt, name)
            if path is not None:
                reason = unreadable(self._loaded.base_dir / path)
                if reason is not None:
                    self._add(("mqtt", name), reason)
        if mqtt.username is None and (mqtt.password is not None or mqtt.password_file is not None):
            self._add(("mqtt",), "a password without a username: MQTT sends it only together with one")

    def state_dir(self) -> None:
        state_dir = self._loaded.base_dir / self._settings.node.state_dir
        reason = unwritable(state_dir)
        if reason is not None:
            self._add(("node", "state_dir"), reason)

    def rules(self) -> None:
        labels = {
            (camera.name, region.name): tuple(card.labels)
            for camera in self._settings.cameras
            for region in regions_of(camera)
            if (card := self._cards.get(model_of(self._settings, region) or "")) is not None
        }
        for text in self._probes.rule_problems(self._settings, labels):
            self.found.append(f"{self._loaded.path}: {text}")


def regions_of(camera: CameraSettings) -> list[RegionSettings]:
    """The camera's regions; none given means one, `frame`, the whole picture."""
    return camera.regions or [RegionSettings()]


def model_of(settings: Settings, region: RegionSettings) -> str | None:
    """The name of the region's model; None where it cannot be told."""
    if region.model is not None:
        return region.model
    return next(iter(settings.models)) if len(settings.models) == 1 else None


def model_file(
    loaded: LoadedSettings, model: ModelSettings, installed: Callable[[Path, str], Path | None]
) -> Path | None:
    """Where the model's file is: beside the configuration, else installed under the name given as `file`.

    `installed` takes the state folder and a model's name. None: neither.
    """
    beside = loaded.base_dir / model.file
    if beside.exists():
        return beside
    name = str(model.file)
    if _NAME.fullmatch(name) is None:
        return None
    return installed(loaded.base_dir / loaded.settings.node.state_dir, name)


def usb_device(source: str) -> str | None:
    """The device file of a `usb:` source, links followed; None for other sources."""
    scheme, _, rest = source.partition(":")
    if scheme != "usb":
        return None
    device = rest.partition("?")[0]
    return os.path.realpath(f"/dev/video{int(device)}" if device.isdecimal() else device)


def unreadable(path: Path) -> str | None:
    """Why a file cannot be read by this process, or None."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    return None


def unwritable(folder: Path) -> str | None:
    """Why nothing can be kept in `folder`, and what to do; None when it can. Creates nothing."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    advice = (
        f"make it (sudo install -d -m 700 -o $USER {folder}), choose another, or run the node as its service"
    )
    if not existing.is_dir():
        return f"{existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        place = (
            "cannot be written to"
            if existing == folder
            else f"does not exist and {existing} cannot be written to"
        )
        return f"{folder} {place}; {advice}"
    return None


def _among(name: str, known: Mapping[str, object], where: str) -> str:
    hint = suggestion(name, known)
    return f" under {where}{hint}" if known else f": {where} is empty"


def _readable_by_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o004)
    except OSError:
        return False
