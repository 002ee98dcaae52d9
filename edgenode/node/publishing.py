"""From settings to the publisher's options."""

from __future__ import annotations

from edgenode import __version__
from edgenode.decision.evidence import link_hash
from edgenode.delivery.publisher import PublisherOptions
from edgenode.node.commands import SLOW_VERBS
from edgenode.settings import MqttSettings, Settings


def publisher_options(settings: Settings, mqtt: MqttSettings) -> PublisherOptions:
    """`mqtt`: how the broker is reached, where that is not what `settings` says (the embedded one)."""
    return PublisherOptions(
        node=settings.node.name,
        version=__version__,
        state_dir=settings.node.state_dir,
        mqtt=mqtt,
        outbox=settings.outbox,
        hold_without_subscriber=settings.outbox.hold_without_subscriber,
        link_hash=link_hash,
        commands=settings.commands,
        slow_verbs=SLOW_VERBS,
    )
