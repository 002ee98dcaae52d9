"""Proves a configuration beyond its form: names that must exist elsewhere, files, folders, networks.

Nothing is opened but files; no camera, no broker. Every mistake is found in one go, each one line that begins
with `file:line: key.path:`. `edgenode check`, start and reload use the same text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgenode.configuration.file import LoadedSettings, MistakenFileError, load
from edgenode.configuration.toml_places import KeyPath
from edgenode.decision_setup import build_rules, model_of, region_labels, regions_of
from edgenode.errors import ConfigurationError, EdgeNodeError
from edgenode.host import is_credential, is_loopback, readable_by_all, unreadable, unwritable, usb_device
from edgenode.nearest import suggestion
from edgenode.node.commands import VERBS
from edgenode.settings import ModelSettings, RegionSettings, Settings
from edgenode.settings.access import ALL_COMMANDS
from edgenode.telemetry.http_access import Access
from edgenode.wiring import installed_model, model_path, trust_of

if TYPE_CHECKING:
    from edgenode.inference.card import ModelCard

_NAMED = re.compile(r"^(?P<path>[a-z_]+(?:\.\w+)+)(?P<place>[^:]*): (?P<reason>.*)$", re.DOTALL)

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Probes:
    """What the check asks the stages. They are heavy to import, so `real_probes` fetches them when needed."""

    read_card: Callable[[Path], ModelCard]
    """Raises EdgeNodeError when the file is refused, OSError when it cannot be read."""
    file_sha256: Callable[[Path], str]
    source_problem: Callable[[str, Path], str | None]
    """What is wrong with a source, without opening it."""
    rule_problems: Callable[[Settings, Mapping[str, ModelCard]], list[str]]
    """Mistakes of the rules, each `rules.name.key: reason`; the cards are those that could be read."""
    installed_model: Callable[[Path, str], Path | None]
    """(state folder, model name) to the store's active file of that name."""


def real_probes() -> Probes:
    """The stages' own functions."""
    from edgenode.capture.opening import source_problem
    from edgenode.inference.onnx_file import file_sha256, read_card

    return Probes(read_card, file_sha256, source_problem, rule_problems, installed_model)


def rule_problems(settings: Settings, cards: Mapping[str, ModelCard]) -> list[str]:
    """Every mistake of every rule, by building them and throwing them away."""
    try:
        build_rules(settings, region_labels(settings, cards))
    except ConfigurationError as error:
        return error.problems
    return []


def prove(path: Path, environ: Mapping[str, str], probes: Probes | None = None) -> LoadedSettings:
    """The configuration at `path`, proven. Raises ConfigurationError with every mistake, of form and of reference.

    What a wrong file refers to is proven too, as far as its mistakes leave it clear what is meant.
    """
    try:
        loaded = load(path, environ)
    except MistakenFileError as error:
        if error.rest is None:
            raise
        wrong = {str(key[-1]) for key in error.mistaken} - {"name"}
        more = [text for text in problems(error.rest, probes) if not wrong & set(_WORD.findall(text))]
        raise ConfigurationError([*error.problems, *more]) from error
    found = problems(loaded, probes)
    if found:
        raise ConfigurationError(found)
    return loaded


def problems(loaded: LoadedSettings, probes: Probes | None = None) -> list[str]:
    """Every reason why this configuration cannot work; empty when it can. Touches nothing but files."""
    check = _Check(loaded, probes if probes is not None else real_probes())
    check.models()
    check.cameras()
    check.mqtt()
    check.http()
    check.commands()
    check.state_dir()
    check.rules()
    check.rollout()
    check.collect()
    return [text for _, text in sorted(check.found, key=lambda found: found[0])]


def warnings(loaded: LoadedSettings) -> list[str]:
    """What works and may still not be meant; written once at start, and by `edgenode check`."""
    settings, found = loaded.settings, []
    http = settings.http
    if http.enabled and http.token_file and not http.cert_file and not is_loopback(http.address[0]):
        found.append(
            loaded.problem(
                ("http", "token_file"),
                f"the token crosses the network of {http.address[0]} unencrypted; set cert_file and key_file, or let "
                "nothing but a tunnel or a container's network reach it",
            )
        )
    if (
        settings.mqtt.password is not None
        and ("mqtt", "password") in loaded.lines
        and readable_by_all(loaded.path)
    ):
        found.append(
            loaded.problem(
                ("mqtt", "password"),
                "every user of this machine can read it; put it into a file of its own and name that in password_file",
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


class _Check:
    def __init__(self, loaded: LoadedSettings, probes: Probes) -> None:
        self._loaded = loaded
        self._settings = loaded.settings
        self._probes = probes
        self._cards: dict[str, ModelCard] = {}
        self.found: list[tuple[int, str]] = []

    def _add(self, key: KeyPath, reason: str) -> None:
        self.found.append((self._loaded.rank(key), self._loaded.problem(key, reason)))

    def models(self) -> None:
        for name, model in self._settings.models.items():
            card = self._card(name, model)
            if card is not None:
                self._cards[name] = card

    def _card(self, name: str, model: ModelSettings) -> ModelCard | None:
        key: KeyPath = ("models", name, "file")
        try:
            path = model_path(self._settings, name, self._loaded.base_dir, self._probes.installed_model)
        except EdgeNodeError as error:
            self._add(key, str(error))
            return None
        except OSError as error:
            self._add(key, f"{error.filename or model.file} cannot be looked at: {error.strerror or error}")
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
            try:
                problem = self._probes.source_problem(camera.source, self._loaded.base_dir)
            except OSError as error:
                problem = f"{error.filename or 'it'} cannot be looked at: {error.strerror or error}"
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
        name = model_of(region, self._settings) or ""
        card = self._cards.get(name)
        if card is None:
            return
        for label in region.smoothing.labels:
            if label not in card.labels:
                self._add(
                    (*key, "smoothing", "labels", label),
                    f'"{label}" is no label of model "{name}"{suggestion(label, card.labels)}',
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
            if path is not None and not is_credential(path):
                reason = unreadable(self._loaded.base_dir / path)
                if reason is not None:
                    self._add(("mqtt", name), reason)
        if mqtt.username is None and (mqtt.password is not None or mqtt.password_file is not None):
            self._add(("mqtt",), "a password without a username: MQTT sends it only together with one")

    def rollout(self) -> None:
        rollout = self._settings.rollout
        if rollout.ca_file is not None and (reason := unreadable(self._loaded.base_dir / rollout.ca_file)):
            self._add(("rollout", "ca_file"), reason)
        try:
            trust_of(self._settings, self._loaded.base_dir)
        except ConfigurationError as error:
            self._add(("rollout", "trusted_keys"), str(error).removeprefix("rollout.trusted_keys: "))

    def http(self) -> None:
        http = self._settings.http
        if http.enabled and not (http.token_file or http.client_ca_file or is_loopback(http.address[0])):
            self._add(
                ("http", "listen"),
                f"{http.address[0]} is beyond loopback, and everybody who reaches it could read states and metrics; "
                'set token_file, or client_ca_file with cert_file and key_file, or use "127.0.0.1:9464"',
            )
        names = ("token_file", "cert_file", "key_file", "client_ca_file")
        files: dict[str, Path] = {name: path for name in names if (path := getattr(http, name)) is not None}
        hidden = any(map(is_credential, files.values()))
        reasons = {name: unreadable(path) for name, path in files.items() if not is_credential(path)}
        for name, reason in reasons.items():
            if reason is not None:
                self._add(("http", name), reason)
        if not hidden and not any(reasons.values()):
            try:
                Access.of(http).prove()
            except ConfigurationError as error:
                for problem in error.problems:
                    name, _, reason = problem.removeprefix("http.").partition(": ")
                    self._add(("http", name.partition(",")[0]), reason)

    def commands(self) -> None:
        for index, verb in enumerate(self._settings.commands.disabled):
            if verb not in (*VERBS, ALL_COMMANDS):
                self._add(
                    ("commands", "disabled", index),
                    f"there is no command {verb!r}{suggestion(verb, VERBS)} (there are: {', '.join(sorted(VERBS))})",
                )

    def state_dir(self) -> None:
        state_dir = self._loaded.base_dir / self._settings.node.state_dir
        reason = unwritable(state_dir)
        if reason is not None:
            self._add(("node", "state_dir"), reason)

    def rules(self) -> None:
        for text in self._probes.rule_problems(self._settings, self._cards):
            match = _NAMED.match(text)
            if match is None:
                self._add((), text)
                continue
            place = match["place"].strip(" ,")
            self._add(
                self._key_of(match["path"].split(".")),
                f"{place}: {match['reason']}" if place else match["reason"],
            )

    def collect(self) -> None:
        known = {
            "models": list(self._settings.models),
            "cameras": [camera.name for camera in self._settings.cameras],
            "regions": [region.name for camera in self._settings.cameras for region in regions_of(camera)],
        }
        for index, rule in enumerate(self._settings.collect.rules):
            for what, names in known.items():
                for number, name in enumerate(getattr(rule, what)):
                    if name not in names:
                        key: KeyPath = ("collect", "rules", index, what, number)
                        self._add(key, f'no {what[:-1]} "{name}"{suggestion(name, names)}')

    def _key_of(self, names: list[str]) -> KeyPath:
        """The key path of names such as `rules.defective_part.when`, in which elements go by their names."""
        node: object = self._settings
        key: list[str | int] = []
        for name in names:
            if isinstance(node, list):
                index = next((i for i, each in enumerate(node) if each.name == name), None)
                if index is None:
                    break
                key.append(index)
                node = node[index]
            else:
                key.append(name)
                node = getattr(node, name, None)
        return tuple(key)


def _among(name: str, known: Mapping[str, object], where: str) -> str:
    hint = suggestion(name, known)
    return f" under {where}{hint}" if known else f": {where} is empty"
