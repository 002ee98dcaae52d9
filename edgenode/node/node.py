"""The node: builds every part from settings, starts from the sink, stops from the source, and supervises.

`start`, `supervise`, `reload` and `stop` are called by one thread (the daemon's main thread, a test, the demo).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgenode import __version__
from edgenode.clock import Clock, SystemClock
from edgenode.collect_setup import collect_plan, collector_of
from edgenode.decision_setup import build_decider, build_rules, region_labels
from edgenode.delivery.publisher import OUTBOX_FOLDER, Publisher
from edgenode.desk import DecisionDesk, Hooks
from edgenode.errors import ConfigurationError, EdgeNodeError
from edgenode.node.catch_up import caught_up
from edgenode.node.commands import command_table
from edgenode.node.discovery import HomeAssistant
from edgenode.node.energy import NodeEnergy
from edgenode.node.evidence import DropNotes, evidence_picture
from edgenode.node.memory import StateDirectory
from edgenode.node.models import classifiers_for, close_unused, drift_monitors
from edgenode.node.publishing import publisher_options
from edgenode.node.reload_turns import ReloadTurns
from edgenode.node.retained import RetainedTopics
from edgenode.node.status import node_info, overall_state, status_page_state
from edgenode.node.surroundings import register_surroundings
from edgenode.node.threads import watch_commands, watch_threads
from edgenode.pipeline import Pipeline
from edgenode.records import CameraReport, JsonObject
from edgenode.rollout.model_rollout import ModelRollout
from edgenode.rollout.watch import RolloutWatch
from edgenode.settings import Settings
from edgenode.telemetry.health import Health, Patience
from edgenode.telemetry.http import HttpServer
from edgenode.telemetry.http_access import Access
from edgenode.telemetry.metrics import Metrics
from edgenode.wiring import cards_of, close_all, fallen_back, load_classifiers

if TYPE_CHECKING:
    from edgenode.decision.decider import Decider
    from edgenode.decision.rules import RuleSet
    from edgenode.delivery.broker import EmbeddedBroker
    from edgenode.inference.classifier import Classifier

log = logging.getLogger(__name__)

TICK_S = 0.1
"""How often the rules hear that time passes: a dwell ends at most this late when no sample comes."""
REMEMBER_S = 1.0
"""At most this much is forgotten of states and open events when the power goes."""
ON_THE_WAY_S = 0.5
"""Rules see the present this late while no sample comes: those on their way to a model are older than now."""
MEASURE_S = 1.0
"""How often energy is worked out."""
EMBEDDED = "embedded"


class Node:
    """One node. Everything it needs is in `settings`; nothing is read from elsewhere."""

    def __init__(
        self,
        settings: Settings,
        base_dir: Path,
        clock: Clock | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008 - frozen
        metrics: Metrics | None = None,
    ) -> None:
        self.settings = settings
        self.base_dir = base_dir
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.metrics = metrics if metrics is not None else Metrics()
        self.health = Health(self.clock)
        self.health.require("models", "outbox", "cameras")
        self._reports: dict[str, CameraReport] = {}
        self.reload_turns = ReloadTurns()
        self.reload_requested = threading.Event()
        """Set by the `reload` command; the daemon's loop acts on it."""
        self._hooks = hooks
        self._state = StateDirectory(settings.node.state_dir)
        self._is_built = False
        """Whether publisher, desk and pipeline are there to be asked; HTTP answers before."""
        self._stack: list[tuple[str, Callable[[], object]]] = []
        """What was started, sink first: how to stop it."""
        self._http: HttpServer | None = None
        self.broker: EmbeddedBroker | None = None
        """The built-in one, where it is asked for."""
        self._started_at = self.clock.now()
        self._remembered_s, self._forgetful = 0.0, False
        self._measured_s = 0.0
        self._energy = NodeEnergy(settings, self.metrics, self._set_pace)
        self.announced = ""
        """The node's state and its reasons, as last published."""
        self._drop_notes = DropNotes(self)

    @property
    def http_address(self) -> tuple[str, int] | None:
        return self._http.address if self._http is not None else None

    @property
    def reports(self) -> dict[str, CameraReport]:
        """The last report of each camera; a copy, as cameras report on their own thread meanwhile."""
        return self._reports.copy()

    @property
    def state_directory(self) -> StateDirectory:
        return self._state

    @property
    def mqtt_port(self) -> int:
        return self.broker.port if self.broker is not None else self.settings.mqtt.effective_port

    def start(self) -> None:
        """Start everything, sink first. Raises ConfigurationError; what had been started is stopped again."""
        try:
            self._start()
        except BaseException:
            self._unwind()
            raise

    def _start(self) -> None:
        settings = self.settings
        register_surroundings(self.metrics, settings, self.base_dir, self.clock)
        classifiers = load_classifiers(settings, self.base_dir)
        self._stack.append(("models", lambda: close_all(classifiers)))
        decider, rules = self._deciding(settings, classifiers)
        # proven by now: nothing is written, and nothing opened, for a model that is refused
        self._state.claim()
        self._stack.append(("state directory", self._state.release))
        if settings.http.enabled:
            access = Access.of(settings.http)
            page = partial(self._page, settings.node.name)
            self._http = HttpServer(settings.http.address, self.metrics, self.health, page, access)
            self._http.start()
            self._stack.append(("http", self._http.stop))
        self.publisher = self._publisher()
        self.desk = DecisionDesk(
            decider, rules, self.publisher, self.metrics, partial(evidence_picture, self), self._hooks
        )
        self.pipeline = Pipeline(
            self.desk.take, self._camera_report, self._gate_note, self.metrics, self.health, self.clock
        )
        self._is_built = True
        if remembered := self._state.recall():
            remembered = caught_up(remembered, settings.node.state_dir / OUTBOX_FOLDER)
        self.publisher.start()
        if remembered:
            self.desk.restore(remembered, self.clock.monotonic(), self.clock.now())
        self._remember()
        self._stack.append(("publisher", self._stop_publisher))
        self._stack.append(("desk", partial(self.desk.close, settings.node.drain)))
        watch_threads(self, self._http)
        self.health.condition("models", True)
        self.collector = collector_of(self, cards_of(classifiers))
        self._stack.append(("collector", lambda: self.collector.close(settings.node.drain)))
        self._stack.append(("pipeline", lambda: self.pipeline.stop(settings.node.drain)))
        self.desk.watch_drift(drift_monitors(classifiers))
        self.rollout = ModelRollout(self)
        self._watch = RolloutWatch(self)
        self.pipeline.on_retired(self.rollout.retired)
        self.pipeline.apply(settings, self.base_dir, classifiers)
        self._stack.append(("rollout", self.rollout.stop))
        self.rollout.follow(classifiers)
        self._announce(classifiers)

    def _publisher(self) -> Publisher:
        mqtt = self.settings.mqtt
        if mqtt.host == EMBEDDED:
            from edgenode.delivery.broker import EmbeddedBroker

            self.broker = EmbeddedBroker(port=mqtt.port or 0)
            self.broker.start()
            self._stack.append(("broker", self.broker.stop))
            mqtt = mqtt.model_copy(
                # amqtt knows no MQTT 5, and doesn't answer one who asks for it with a last will
                update={"host": "127.0.0.1", "port": self.broker.port, "protocol": "3.1.1"}
            )
        options = publisher_options(self.settings, mqtt)
        return Publisher(options, self.metrics, self.clock, command_table(self))

    def supervise(self, stop: threading.Event, beat: Callable[[], None] | None = None) -> None:
        """Run until `stop` is set or a reload is asked for. Raises EdgeNodeError when a thread has failed.

        `beat` is called about ten times a second while every thread makes progress: the watchdog's food.
        """
        patience = Patience(self.clock.monotonic())
        while not self.clock.wait(stop, TICK_S):
            self.tick()
            report = self.health.report()
            if not patience.forgives(self.clock.monotonic()) and not report.alive:
                raise EdgeNodeError("; ".join(report.reasons))
            if beat is not None and report.alive:
                beat()
            if self.reload_requested.is_set():
                return

    def tick(self) -> None:
        """Everything that is due by time alone. Called about ten times a second."""
        now_s, now_at = self.clock.monotonic(), self.clock.now()
        self.desk.tick(now_s - ON_THE_WAY_S, now_at - timedelta(seconds=ON_THE_WAY_S))
        self._judge()
        if now_s - self._measured_s >= MEASURE_S:
            self._measured_s = now_s
            self._energy.tick(now_s)
            self._drop_notes.look()
        self._watch.look()
        if self.desk.dirty and now_s - self._remembered_s >= REMEMBER_S:
            self._remembered_s = now_s
            self._remember()

    def reload(self, settings: Settings, base_dir: Path) -> None:
        """Go on with other settings; cameras and models that have not changed run on undisturbed.

        Raises ConfigurationError, with everything left as it was, when a model is refused or when a section
        differs that only a restart can change.
        """
        fixed = [
            f"{name}: changed, which needs a restart of the node"
            for name in ("node", "mqtt", "http", "outbox", "commands")
            if getattr(settings, name) != getattr(self.settings, name)
        ]
        if (misfit := self._energy.misfit(settings)) is not None:
            fixed.append(misfit)
        if fixed:
            raise ConfigurationError(fixed)
        with self.rollout.lock:
            self._reload(settings, base_dir)

    def _reload(self, settings: Settings, base_dir: Path) -> None:
        classifiers = classifiers_for(settings, base_dir, self.settings, self._serving())
        try:
            decider, rules = self._deciding(settings, classifiers)
        except ConfigurationError:
            close_unused(classifiers, self._serving())
            raise
        gone = [name for name in self.pipeline.cameras() if name not in {c.name for c in settings.cameras}]
        self.settings, self.base_dir = settings, base_dir
        self._decide_by(decider, rules, classifiers)
        self.pipeline.apply(settings, base_dir, classifiers)
        self._energy.apply(settings)
        watch_commands(self)
        for name in gone:
            self._reports.pop(name, None)
        self.publisher.hurry()
        self.rollout.follow(classifiers)
        self._announce(classifiers)

    def serve(self, model: str, classifier: Classifier) -> Classifier:
        """Let a proven `classifier` serve `model` from the next batch on; returns the one that did. Called by the
        rollout, under its lock. Raises EdgeNodeError, with everything left as it was; `could_serve` tells before."""
        classifiers = {**self._serving(), model: classifier}
        decider, rules = self._deciding(self.settings, classifiers)
        old = self.pipeline.swap(model, classifier)
        self._decide_by(decider, rules, classifiers)
        self._announce(classifiers)
        return old

    def could_serve(self, model: str, classifier: Classifier) -> None:
        """Raises ConfigurationError where rules and smoothing do not go with the labels of `classifier`."""
        self._deciding(self.settings, {**self._serving(), model: classifier})

    def _serving(self) -> dict[str, Classifier]:
        found = {name: self.pipeline.classifier(name) for name in self.pipeline.models()}
        return {name: classifier for name, classifier in found.items() if classifier is not None}

    def _decide_by(self, decider: Decider, rules: RuleSet, classifiers: dict[str, Classifier]) -> None:
        self.desk.swap(decider, rules, self.clock.monotonic(), self.clock.now())
        self.desk.watch_drift(drift_monitors(classifiers))
        self.collector.apply(collect_plan(self.settings, cards_of(classifiers)))

    def stop(self) -> None:
        """Source first: cameras, engines (draining), publisher (`stopped`), broker, HTTP, state directory."""
        self.reload_turns.end()
        self._unwind()

    def _unwind(self) -> None:
        while self._stack:
            name, stop = self._stack.pop()
            if name == "publisher":
                self._remember()
            try:
                stop()
            except Exception:
                log.exception("stopping the %s failed", name)

    def _page(self, name: str) -> JsonObject:
        """Called on HTTP's threads."""
        return status_page_state(self) if self._is_built else {"node": name, "version": __version__}

    def _stop_publisher(self) -> None:
        drain_s = self.settings.node.drain
        self.publisher.stop(drain_s)
        if not self.publisher.join(drain_s + 2.0):
            log.error("the publisher's thread did not end in time and is left behind")

    def _deciding(self, settings: Settings, classifiers: dict[str, Classifier]) -> tuple[Decider, RuleSet]:
        cards = cards_of(classifiers)
        return build_decider(settings, cards), build_rules(settings, region_labels(settings, cards))

    def _set_pace(self, camera: str, share: float) -> None:
        self.pipeline.set_pace(camera, share)

    def _camera_report(self, report: CameraReport) -> None:
        if all(camera.name != report.camera for camera in self.settings.cameras):
            return  # of a camera that a reload took away: its last word came late
        self._reports[report.camera] = report
        self.desk.report(report, self.clock.monotonic(), self.clock.now())

    def _gate_note(self, camera: str, gate: str, is_open: bool) -> None:
        what = "opened" if is_open else "closed: nothing moves, frames are not classified"
        self.desk.note(camera, self.clock.now(), f"the {gate} gate {what}")

    def _judge(self) -> None:
        """Tell the world the overall state, when it has changed."""
        status, reason = overall_state(self.health, self.reports, self.settings, self.publisher.status())
        if (announced := f"{status} {reason}".strip()) != self.announced:
            self.announced = announced
            self.publisher.set_node_state(status, reason)

    def _announce(self, classifiers: dict[str, Classifier]) -> None:
        fallen = fallen_back(self.settings, classifiers)
        self.health.condition("provider", not fallen, fallen)
        self.publisher.publish_info(node_info(self.settings, classifiers, self._started_at))
        RetainedTopics(self._state, self.publisher).settle(self.settings)
        HomeAssistant(self._state, self.publisher).announce(self.settings, cards_of(classifiers))

    def _remember(self) -> None:
        try:
            self._state.remember(self.desk.export())
            self._forgetful = False
        except OSError as error:
            if not self._forgetful:
                log.warning("states cannot be remembered: %s; it is tried again each second", error)
            self._forgetful = True
