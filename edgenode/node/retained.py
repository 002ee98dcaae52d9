"""Takes from the broker what it keeps of cameras, regions and models that are gone, also since the run before."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgenode.decision_setup import regions_of
from edgenode.delivery.topics import Topics
from edgenode.settings import Settings

if TYPE_CHECKING:
    from edgenode.delivery.publisher import Publisher
    from edgenode.node.memory import StateDirectory

log = logging.getLogger(__name__)

FILE = "retained"
"""In the state directory: the topics on which the broker may keep something of this node's parts."""


def part_topics(settings: Settings, topics: Topics) -> Iterator[str]:
    """Every topic that the broker keeps for a part which another configuration may lack."""
    for camera in settings.cameras:
        yield topics.camera_state(camera.name)
        yield topics.camera_snapshot(camera.name)
        yield from (topics.region_state(camera.name, region.name) for region in regions_of(camera))
    yield from map(topics.model, settings.models)


class RetainedTopics:
    """Called by the node's supervising thread, after start and after every reload."""

    def __init__(self, state: StateDirectory, publisher: Publisher) -> None:
        self._state = state
        self._publisher = publisher

    def settle(self, settings: Settings) -> None:
        """Forget what `settings` has no longer, and remember what it has."""
        topics = self._publisher.topics
        now = sorted(part_topics(settings, topics))
        found = self._state.recall(FILE).get("topics")
        before = [str(each) for each in found] if isinstance(found, list) else []
        if before == now:
            return
        for topic in set(before) - set(now):
            # of a node with another name they are not ours to take away, nor does an access list permit it
            if topic.startswith(f"{topics.root}/"):
                self._publisher.forget(topic)
        try:
            self._state.remember({"topics": now}, FILE)
        except OSError as error:
            log.warning("which topics the broker keeps cannot be remembered: %s", error)
