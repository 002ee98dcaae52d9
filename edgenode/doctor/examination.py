"""The whole examination, in the order in which one part's figures need another's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgenode.configuration.file import LoadedSettings
from edgenode.doctor.finding import Finding, Level
from edgenode.doctor.unit import Unit, read_unit
from edgenode.errors import EdgeNodeError
from edgenode.telemetry.redaction import Redactor, known_secrets

if TYPE_CHECKING:
    from edgenode.capture.regions import RegionCutter

PARTS = (
    "config",
    "service",
    "secrets",
    "limits",
    "port",
    "disk",
    "broker",
    "model",
    "camera",
    "clock",
    "energy",
)
"""What may be asked for alone; `camera` brings `load` with it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is examined, and how long each camera is watched."""

    parts: frozenset[str] = frozenset(PARTS)
    camera_seconds: float = 6.0


def examine(
    loaded: LoadedSettings, scope: Scope, say: Callable[[str], None] = lambda _: None
) -> list[Finding]:
    """Every finding, with all secrets masked. `say` hears what is looked at now.

    Opens each camera and the broker once, writes and deletes one file in the state directory, changes nothing.
    """
    found = _Examination(loaded, scope, say).run()
    mask = Redactor(known_secrets(loaded.settings))
    return [_masked(finding, mask) for finding in found]


class _Examination:
    def __init__(self, loaded: LoadedSettings, scope: Scope, say: Callable[[str], None]) -> None:
        self._loaded, self._settings = loaded, loaded.settings
        self._scope, self._say = scope, say
        self._found: list[Finding] = []
        self._unit: Unit = read_unit()

    def run(self) -> list[Finding]:
        from edgenode.doctor.machine import (
            ClockWatch,
            examine_disk,
            examine_energy,
            examine_limits,
        )
        from edgenode.doctor.service import examine_port, examine_secrets, examine_service

        loaded, settings, unit = self._loaded, self._settings, self._unit
        clock = ClockWatch()
        self._part("config", self._configuration)
        self._part("service", lambda: examine_service(loaded, unit))
        self._part("secrets", lambda: examine_secrets(loaded, unit))
        self._part("limits", lambda: examine_limits(settings, unit))
        self._part("port", lambda: examine_port(settings, loaded.base_dir / settings.node.state_dir))
        self._part("disk", lambda: examine_disk(settings, loaded.base_dir, unit))
        self._part("broker", self._broker)
        costs: dict[str, float] = {}
        if self._scope.parts & {"model", "camera"}:
            # measured before the cameras are read: what those cost must not count as the models'
            self._part("model", lambda: self._models(costs), always=True)
        self._part("camera", lambda: self._cameras(costs))
        self._part("clock", clock.examine)
        self._part("energy", examine_energy)
        return self._found

    def _part(self, name: str, examine: Callable[[], list[Finding]], always: bool = False) -> None:
        if name not in self._scope.parts and not always:
            return
        try:
            found = examine()
        except Exception as error:
            # one part's fault must not hide the others' findings
            found = [
                Finding(name, "doctor", Level.PROBLEM, f"a fault inside: {type(error).__name__}: {error}")
            ]
        self._found += [finding for finding in found if name in self._scope.parts]

    def _configuration(self) -> list[Finding]:
        from edgenode.configuration.check import warnings
        from edgenode.host import running_process

        path = str(self._loaded.path)
        found = [Finding("config", path, Level.OK, "can work")]
        found += [Finding("config", path, Level.WARNING, text) for text in warnings(self._loaded)]
        process = running_process(self._loaded.base_dir / self._settings.node.state_dir)
        if process is not None:
            text = f"a node runs with this state directory (process {process})"
            advice = "figures below share the cores with it; some cameras serve one connection only"
            found.append(Finding("config", "node", Level.NOTE, text, advice))
        return found

    def _broker(self) -> list[Finding]:
        from edgenode.doctor.broker import examine_broker

        self._say(f"the broker at {self._settings.mqtt.host}")
        return examine_broker(self._settings, self._unit, self._loaded.base_dir)

    def _models(self, costs: dict[str, float]) -> list[Finding]:
        from edgenode.doctor.models import examine_models

        self._say(f"{len(self._settings.models)} models")
        found, measured = examine_models(self._settings, self._loaded.base_dir)
        costs |= measured
        return found

    def _cameras(self, costs: Mapping[str, float]) -> list[Finding]:
        from edgenode.doctor.cameras import examine_cameras

        seconds = self._scope.camera_seconds
        self._say(f"{len(self._settings.cameras)} cameras, up to {seconds:g} s each")
        return examine_cameras(
            self._settings, self._cutters(set(costs)), self._loaded.base_dir, seconds, costs
        )

    def _cutters(self, models: set[str]) -> dict[str, Sequence[RegionCutter]]:
        """What cuts each camera's pictures, for the models that have been loaded."""
        from edgenode.inference.onnx_file import read_card
        from edgenode.wiring import cutters_of, model_path

        cards = {}
        for name in models:
            path = model_path(self._settings, name, self._loaded.base_dir)
            if path is not None:
                cards[name] = read_card(path)
        found: dict[str, Sequence[RegionCutter]] = {}
        for camera in self._settings.cameras:
            try:
                found[camera.name] = cutters_of(camera, self._settings, cards)
            except (KeyError, EdgeNodeError):
                found[camera.name] = ()  # one of its models did not load, which has been said
        return found


def _masked(finding: Finding, mask: Redactor) -> Finding:
    return Finding(
        finding.part,
        mask(finding.subject),
        finding.level,
        mask(finding.text),
        mask(finding.advice),
        {key: mask(value) if isinstance(value, str) else value for key, value in finding.facts.items()},
    )
