"""The publisher: what every other part of the node calls to tell the world something.

Every method may be called from any thread, returns at once and never raises. Behind it one thread
(`Courier`) owns the outbox and decides what is sent; a second one (`Link`) holds the connection, a third
does commands.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from edgenode.clock import Clock
from edgenode.delivery.command_lanes import CommandLanes
from edgenode.delivery.commands import CommandHandler, Gate
from edgenode.delivery.courier import Courier, CourierParts
from edgenode.delivery.identity import ClockCheck, boot_id
from edgenode.delivery.link import Link
from edgenode.delivery.link_options import LinkOptions
from edgenode.delivery.mailbox import Mailbox
from edgenode.delivery.messages import (
    MAX_SNAPSHOT_BYTES,
    LinkHash,
    Origin,
    camera_message,
    camera_snapshot_message,
    forget_message,
    info_message,
    model_message,
    region_message,
    state_message,
)
from edgenode.delivery.observer import DeliveryObserver, DeliveryStatus
from edgenode.delivery.topics import HOME_ASSISTANT_STATUS, Topics
from edgenode.errors import OutboxError
from edgenode.records import CameraReport, Decision, Event, JsonObject, Message, ModelIdentity, Prediction
from edgenode.settings import CommandSettings, MqttSettings, OutboxSettings

log = logging.getLogger(__name__)

OUTBOX_FOLDER = "outbox"
"""Under the node's state directory."""
LINK_LIMIT_S = 180.0
"""How long the thread that talks to the broker may be silent: a name server, a connection, a pause."""

COMMAND_LIMIT_S = 120.0
"""How long one command may take that is not among `slow_verbs`: the slowest, a reload, answers after 20 s."""


@dataclass(frozen=True, slots=True)
class PublisherOptions:
    node: str
    version: str
    state_dir: Path
    mqtt: MqttSettings
    outbox: OutboxSettings
    boot: str = field(default_factory=boot_id)
    link_hash: LinkHash | None = None
    """How links of the chain of evidence are hashed, for `outbox.chain`; the decision stage knows it."""
    hold_without_subscriber: bool = False
    """Keep an event while the broker answers that nobody subscribes to it (MQTT 5, reason code 16)."""
    commands: CommandSettings = field(default_factory=CommandSettings)
    slow_verbs: frozenset[str] = frozenset()
    """Commands that may take minutes: they wait for each other, and no other command for them."""


class Publisher:
    """`commands` maps verbs to what does them; they run on the publisher's command thread, one at a time."""

    def __init__(
        self,
        options: PublisherOptions,
        observer: DeliveryObserver,
        clock: Clock,
        commands: Mapping[str, CommandHandler] | None = None,
        link_options: Callable[[LinkOptions], LinkOptions] = lambda options: options,
    ) -> None:
        self._options = options
        self._observer = observer
        self._clock = clock
        self._topics = Topics(options.mqtt.base_topic, options.node)
        self._origin = Origin(self._topics, options.boot, options.version, os.getpid())
        self._wake = threading.Event()
        self._mailbox = Mailbox(self._wake, options.mqtt.classification)
        self._stopping = False
        self._state_lock = threading.Lock()
        self._state = ("", clock.now())
        self.set_node_state("online", "starting")
        self.publish_info({})
        verbs = dict(commands or {})
        self._worker = CommandLanes(verbs, options.slow_verbs, self._mailbox.put_reply, observer, clock)
        self._link = Link(
            link_options(
                LinkOptions(
                    client_id=options.node,
                    mqtt=options.mqtt,
                    longest_pause_s=options.mqtt.reconnect_pause,
                    will=state_message(self._origin, "offline", "the connection was lost", clock.now()),
                    subscriptions=(self._topics.all_commands, HOME_ASSISTANT_STATUS),
                    instance_topic=self._topics.instance,
                    boot=options.boot,
                )
            ),
            clock,
            self._wake,
        )
        self._courier = Courier(
            CourierParts(
                origin=self._origin,
                folder=options.state_dir / OUTBOX_FOLDER,
                outbox=options.outbox,
                hold_without_subscriber=options.hold_without_subscriber,
                link_hash=options.link_hash if options.outbox.chain else None,
                mailbox=self._mailbox,
                link=self._link,
                gate=Gate(self._topics, frozenset(verbs), observer, clock, options.commands),
                worker=self._worker,
                clock_check=ClockCheck(clock),
                wake=self._wake,
            ),
            observer,
            clock,
        )

    @property
    def boot(self) -> str:
        return self._origin.boot

    @property
    def topics(self) -> Topics:
        return self._topics

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the thread's last progress."""
        return self._courier.heartbeat_s

    @property
    def link_heartbeat_s(self) -> float:
        """The same of the thread that talks to the broker; limit it by `LINK_LIMIT_S`."""
        return self._link.heartbeat_s

    @property
    def command_heartbeat_s(self) -> float:
        """The same of the thread that does commands; limit it by `COMMAND_LIMIT_S`."""
        return self._worker.heartbeat_s

    @property
    def slow_command_heartbeat_s(self) -> float:
        """The same of the thread for `slow_verbs`, which may take as long as they are allowed to."""
        return self._worker.slow_heartbeat_s

    def start(self) -> None:
        self._worker.start()
        self._courier.start()

    def stop(self, drain_s: float) -> None:
        """Begin to end: deliver what is inside for at most `drain_s`, say `stopped`, disconnect. Does not
        wait.
        """
        self._worker.stop()
        with self._state_lock:
            self._stopping = True
        stopped = state_message(self._origin, "stopped", "a clean stop", self._clock.now())
        self._courier.stop(drain_s, stopped)

    def hurry(self) -> None:
        """Try the broker now if it is away: after a reload, a password file may be another one."""
        self._link.hurry()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; says whether every thread has ended. Undelivered events stay in the outbox."""
        return self._courier.join(timeout_s) and self._worker.join(1.0)

    def status(self) -> DeliveryStatus:
        """What the thread knew at its last step, at most about a second ago."""
        return self._courier.status

    def publish_event(self, event: Event, jpeg: bytes | None) -> None:
        """Hand over an event and, if there is one, the JPEG it names as evidence: hand-off B."""
        if jpeg is not None and len(jpeg) > MAX_SNAPSHOT_BYTES:
            log.warning(
                "rule %s: its picture of %d bytes is too large and is not sent", event.rule, len(jpeg)
            )
            self._observer.evicted("too_large", 1)
            jpeg = None
        self._mailbox.put_event(event, jpeg, self._clock.monotonic())

    def publish_region_state(self, decision: Decision, event_id: str | None) -> None:
        self._retain(lambda: region_message(self._topics, decision, event_id))

    def publish_classification(self, prediction: Prediction) -> None:
        self._mailbox.put_prediction(prediction, self._clock.monotonic())

    def publish_camera(self, report: CameraReport) -> None:
        self._retain(lambda: camera_message(self._topics, report))

    def publish_snapshot(self, camera: str, jpeg: bytes, event_id: str | None = None) -> bool:
        """The camera's last requested picture; says whether it is small enough to be sent."""
        if len(jpeg) > MAX_SNAPSHOT_BYTES:
            self._observer.evicted("too_large", 1)
            return False
        self._retain(lambda: camera_snapshot_message(self._topics, camera, jpeg, event_id))
        return True

    def publish_info(self, info: JsonObject) -> None:
        """The birth message; `info` is what the node tells of itself beside name, boot and version."""
        self._retain(lambda: info_message(self._origin, info))

    def publish_model(
        self,
        model: str,
        identity: ModelIdentity,
        card: JsonObject,
        shadow: JsonObject | None = None,
        change: JsonObject | None = None,
    ) -> None:
        self._retain(lambda: model_message(self._topics, model, identity, card, shadow, change))

    def publish_retained(self, message: Message) -> None:
        """Any other retained message (Home Assistant's discovery): sent now and after every connect."""
        self._retain(lambda: message)

    def publish_once(self, message: Message) -> None:
        """A message that nobody keeps, neither the broker nor this: sent once, before what is retained. It may stand on
        the topic of a retained one, whose place it does not take."""
        self._mailbox.put_reply(message)

    def set_node_state(self, status: str, reason: str) -> None:
        """`online` or `degraded`. `stopped` and `offline` are said by the publisher and the broker."""
        with self._state_lock:
            if self._stopping:
                return
            if status != self._state[0]:
                self._state = (status, self._clock.now())
            since = self._state[1]
            self._retain(lambda: state_message(self._origin, status, reason, since))

    def forget(self, topic: str) -> None:
        """Remove what the broker keeps under `topic`."""
        self._mailbox.put_retained(forget_message(topic))

    def replay(self, since: datetime, timeout_s: float = 10.0) -> int:
        """Send again what was acknowledged since then; how many messages. Waits: for command handlers only.

        Raises OutboxError.
        """
        result: Future[int] = Future()
        self._mailbox.put_job(lambda: self._courier.replay(since, result))
        try:
            return result.result(timeout_s)
        except FutureTimeoutError as error:
            raise OutboxError("outbox: the publisher is busy or has ended; try again") from error

    def _retain(self, build: Callable[[], Message]) -> None:
        try:
            message = build()
        except Exception:
            # a record that cannot be said in JSON is a fault of this program, not of the caller's thread
            log.exception("a state could not be put into words and is not published")
            self._observer.evicted("unstorable", 1)
        else:
            self._mailbox.put_retained(message)
