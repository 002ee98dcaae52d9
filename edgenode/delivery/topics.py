"""The names of all topics. Each name is an API: dashboards, access lists and bridges depend on it."""

from __future__ import annotations

from dataclasses import dataclass

HOME_ASSISTANT_STATUS = "homeassistant/status"
"""Home Assistant says `online` here after a start; discovery is sent again then."""
OUTBOX_RULE = "_outbox"
"""Stands where a rule's name stands, for notices about lost messages; no rule's name begins with `_`."""

MODELS_RULE = "_models"
"""Stands where a rule's name stands, for events about models: one that was sent back, one that drifts."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Every topic of one node. Names of cameras, regions, models, rules and verbs are single levels."""

    base_topic: str
    node: str

    @property
    def root(self) -> str:
        return f"{self.base_topic}/{self.node}"

    @property
    def state(self) -> str:
        return f"{self.root}/state"

    @property
    def info(self) -> str:
        return f"{self.root}/info"

    @property
    def instance(self) -> str:
        return f"{self.root}/instance"

    def camera_state(self, camera: str) -> str:
        return f"{self.root}/cameras/{camera}/state"

    def camera_snapshot(self, camera: str) -> str:
        return f"{self.root}/cameras/{camera}/snapshot"

    def region_state(self, camera: str, region: str) -> str:
        return f"{self.root}/cameras/{camera}/regions/{region}/state"

    def classification(self, camera: str, region: str) -> str:
        return f"{self.root}/cameras/{camera}/regions/{region}/classification"

    def camera(self, camera: str) -> str:
        """What all topics of `camera` begin with."""
        return f"{self.root}/cameras/{camera}/"

    def event(self, rule: str) -> str:
        return f"{self.root}/events/{rule}"

    def event_snapshot(self, rule: str) -> str:
        return f"{self.root}/events/{rule}/snapshot"

    @property
    def outbox_notice(self) -> str:
        return self.event(OUTBOX_RULE)

    @property
    def model_event(self) -> str:
        return self.event(MODELS_RULE)

    def model(self, model: str) -> str:
        return f"{self.root}/models/{model}"

    def command(self, verb: str) -> str:
        return f"{self.root}/commands/{verb}"

    @property
    def all_commands(self) -> str:
        return self.command("+")

    def verb_of(self, topic: str) -> str | None:
        """The verb of a command's topic; None where `topic` is not one."""
        prefix = self.command("")
        verb = topic.removeprefix(prefix)
        return verb if topic.startswith(prefix) and verb and "/" not in verb else None

    def reply(self, verb: str) -> str:
        return f"{self.root}/replies/{verb}"
