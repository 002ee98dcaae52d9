"""What delivery tells: to whoever measures, as it happens, and to whoever asks, how it is now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class DeliveryObserver(Protocol):
    """What delivery measures. Called on the publisher's thread (`command` also on the command thread)."""

    def event_appended(self, rule: str, event_type: str) -> None: ...
    def event_delivered(self, count: int) -> None:
        """Acknowledged by the broker for the first time in this life of the process."""
        ...

    def deliver_seconds(self, s: float) -> None:
        """From the hand-over of an event until it is safe on the disk."""
        ...

    def publish_seconds(self, s: float) -> None:
        """From capture to PUBLISH; a message sent again counts again."""
        ...

    def ack_seconds(self, s: float) -> None:
        """From capture to the broker's PUBACK."""
        ...

    def outbox(self, messages: int, bytes: int) -> None:  # noqa: A002 - the observer's word
        ...

    def evicted(self, reason: str, count: int) -> None: ...
    def connected(self, connected: bool) -> None: ...
    def refused(self, count: int) -> None: ...
    def rivalled(self) -> None:
        """Another client of this node's name was met, or met again."""
        ...

    def messages_dropped(self, kind: str, count: int) -> None:
        """What no outbox keeps and a full buffer lost: `state`, `classification`, `reply`, `incoming`; or `command`:
        not answered."""
        ...

    def command(self, verb: str, ok: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """One instant of the delivery, for health, status page and commands."""

    connected: bool = False
    reason: str = "not connected yet"
    """Why there is no connection; empty while there is one."""
    rival: str = ""
    """Another client of this node's name, in words; empty while none was met lately."""
    protocol: str = ""
    degraded: bool = False
    degraded_reason: str = ""
    outbox_messages: int = 0
    outbox_bytes: int = 0
    oldest_s: float = 0.0
    """Age of the oldest undelivered message."""
    pending: int = 0
    """Events in memory that are not on the disk yet."""
    on_the_way: int = 0
    appended: int = 0
    delivered: int = 0
    """Messages of the outbox the broker acknowledged, in all its life."""
    evicted: int = 0
    """Messages lost for any reason, in all the outbox's life; `lost` says which."""
    lost: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    dropped_states: int = 0
    dropped_classifications: int = 0
    unanswered_commands: int = 0
    faults: int = 0
