"""Keeps what Home Assistant was told in step with the settings, also from one run of the node to the next."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgenode import __version__
from edgenode.decision_setup import region_labels, regions_of
from edgenode.delivery.home_assistant import (
    CameraFacts,
    NodeFacts,
    RegionFacts,
    RuleFacts,
    announced,
    discovery,
    discovery_messages,
)
from edgenode.delivery.topics import Topics
from edgenode.inference.card import ModelCard
from edgenode.records import INVALID, NONE, UNKNOWN
from edgenode.settings import Settings

if TYPE_CHECKING:
    from edgenode.delivery.publisher import Publisher
    from edgenode.node.memory import StateDirectory

log = logging.getLogger(__name__)

FILE = "discovery"
"""In the state directory: what is announced, so that a camera that is gone after a restart can be taken back."""


def node_facts(settings: Settings, topics: Topics, cards: Mapping[str, ModelCard]) -> NodeFacts:
    """What discovery has to know of `settings`. `cards`: by the name under `[models]`."""
    labels = region_labels(settings, cards)

    def states(camera: str, region: str) -> tuple[str, ...]:
        known = labels[camera, region]
        if known is None:
            return ()
        special = (UNKNOWN, NONE, INVALID) if known.multi_label else (UNKNOWN, INVALID)
        return tuple(dict.fromkeys((*known.labels, *special)))

    return NodeFacts(
        topics=topics,
        version=__version__,
        cameras=tuple(
            CameraFacts(
                camera.name,
                tuple(RegionFacts(each.name, states(camera.name, each.name)) for each in regions_of(camera)),
            )
            for camera in settings.cameras
        ),
        rules=tuple(RuleFacts(rule.name, bool(rule.snapshot)) for rule in settings.rules),
    )


class HomeAssistant:
    """Called by the node's supervising thread, after start and after every reload."""

    def __init__(self, state: StateDirectory, publisher: Publisher) -> None:
        self._state = state
        self._publisher = publisher

    def announce(self, settings: Settings, cards: Mapping[str, ModelCard]) -> None:
        """Tell what is there now, and take back what is not; all of it where discovery is switched off."""
        before = self._state.recall(FILE)
        wanted = {}
        if settings.mqtt.home_assistant:
            wanted = discovery(node_facts(settings, self._publisher.topics, cards))
        for message in discovery_messages(wanted, before):
            if message.retain:
                self._publisher.publish_retained(message)
            else:
                self._publisher.publish_once(message)
        if before == (now := announced(wanted)):
            return
        try:
            self._state.remember(now, FILE)
        except OSError as error:
            log.warning("what Home Assistant was told cannot be remembered: %s", error)
