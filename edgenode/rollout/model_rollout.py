"""Which model serves while the node runs: installing, activating, going back, and the shadow.

The store's pointers say what should serve; this makes it so between two batches, lets a new model serve on
probation with the one before at hand, and tells what changed. Methods are called by the thread of slow commands
and by the supervising thread; `lock` keeps the two, and a reload, apart. Loading a model happens outside of it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgenode.errors import ConfigurationError, EdgeNodeError, ModelError
from edgenode.inference.onnx_file import file_sha256
from edgenode.inference.service_record import ServiceRecord
from edgenode.inference.store import InstalledModel, ModelStore
from edgenode.rollout.fetch import Wanted, fetched
from edgenode.rollout.judgement import Before, Fault, gate
from edgenode.rollout.shadows import Shadows
from edgenode.rollout.telling import Change, Teller
from edgenode.wiring import classifier_options, configured_file, load_classifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgenode.inference.classifier import Classifier
    from edgenode.node.node import Node

log = logging.getLogger(__name__)

KEPT = 3
"""Installed versions that nothing points at, of each model; older ones are deleted when one is installed."""

Then = Literal["nothing", "activate", "shadow"]


@dataclass(slots=True)
class Probation:
    """A new model at work, and the way back."""

    before: Classifier
    measured: Before
    since_s: float


class ModelRollout:
    def __init__(self, node: Node) -> None:
        self._node = node
        self.lock = threading.RLock()
        """Held while what serves changes; a reload holds it throughout."""
        self.store = ModelStore(node.base_dir / node.settings.node.state_dir)
        self.teller = Teller(node)
        self.shadows = Shadows(node, self.store)
        self.probation: dict[str, Probation] = {}
        self._cancelled = threading.Event()

    def stop(self) -> None:
        """End a transfer, the shadows and probations. Before the pipeline is stopped."""
        self._cancelled.set()
        with self.lock:
            self.shadows.stop()
            for name in list(self.probation):
                self.end_probation(name)
            self.teller.keep(())

    def install(self, wanted_url: str, sha256: str, model: str | None, then: Then) -> InstalledModel:
        """Fetch, prove and store a model file, then perhaps activate it. Raises ModelError: nothing changed then.

        `model`: the name under `[models]` it is meant for; else the name in its card.
        """
        name = self.store_name(model) if model is not None else None
        if name is not None and (reason := self.store.quarantined(name).get(sha256)) is not None:
            raise ModelError(
                f"model {name} {sha256[:12]}: is in quarantine ({reason}); release it on the gateway"
            )
        settings, base_dir = self._node.settings, self._node.base_dir
        wanted = Wanted(wanted_url, sha256, self.store.folder)
        with fetched(wanted, settings.rollout, base_dir, self._cancelled) as path:
            installed = self.store.install(path, sha256, classifier_options(settings, base_dir), name)
        log.info("model %s %s is installed", installed.name, installed.sha256)
        if model is not None and then == "activate":
            self.activate(model, installed.sha256)
        elif model is not None and then == "shadow":
            self.shadow(model, installed.sha256)
        self.store.prune(installed.name, KEPT)
        return self.store.find(installed.name, installed.sha256)

    def activate(self, model: str, sha256: str) -> InstalledModel:
        """Let an installed file serve from the next batch on, if it passes the gate. Raises ModelError."""
        name = self.store_name(model)
        installed = self.store.find(name, sha256)
        return self._change(model, installed, "activated", gated=True)

    def rollback(self, model: str) -> InstalledModel:
        """Let the version before serve again. Raises ModelError."""
        name = self.store_name(model)
        previous = self.store.previous(name)
        if previous is None:
            raise ModelError(f"model {name}: no earlier version is remembered; activate one by its sha256")
        return self._change(model, previous, "rolled_back", gated=False)

    def shadow(self, model: str, sha256: str | None) -> InstalledModel | None:
        """Let an installed file answer beside the one that serves, or nothing any more. Raises ModelError."""
        name = self.store_name(model)
        if sha256 is None:
            with self.lock:
                self.store.shadow(name, None)
                self.shadows.end(model)
            self.teller.publish(model)
            return None
        installed = self.store.find(name, sha256)
        if self._serving(model).identity.sha256 == installed.sha256:
            raise ModelError(f"model {model}: {installed.sha256[:12]} serves; it cannot be its own shadow")
        classifier = self._load(model, installed)
        misfit = self._node.pipeline.misfit(model, classifier)
        if misfit is not None:
            classifier.close()
            raise ModelError(f"model {model}: {misfit}; a shadow answers the same samples")
        with self.lock:
            self.store.shadow(name, installed.sha256)
            self.shadows.begin(model, classifier)
        self.teller.publish(model)
        return self.store.find(name, installed.sha256)

    def go_back(self, model: str, fault: Fault) -> None:
        """The node's own way back from a model with a fault. Called by the supervising thread, under `lock`."""
        probation = self.probation.pop(model, None)
        bad = self._serving(model)
        name, sha256 = bad.card.name, bad.identity.sha256
        before = probation.before if probation is not None else self._version_before(model, name, sha256)
        kept = self._in_store(name, sha256, fault, before)
        if before is None:
            self.teller.fault(model, fault, sha256, None)
            return
        self._node.serve(model, before).close()
        self.shadows.restart(model)
        change = Change("rolled_back", f"{fault.kind}: {fault.reason}{kept}", sha256, "node")
        self.teller.changed(model, change)
        self.teller.fault(model, fault, sha256, before.identity)

    def drop_shadow(self, model: str, name: str, sha256: str, fault: Fault) -> None:
        """End a shadow with a fault. Called by the supervising thread, under `lock`."""
        self.shadows.end(model)
        try:
            self.store.shadow(name, None)
            self.store.quarantine(name, sha256, f"{fault.kind}: {fault.reason}")
        except ModelError as error:
            log.error("%s", error)
        serving = self._serving(model).identity
        self.teller.fault(model, fault, sha256, serving)

    def retired(self, model: str, classifier: Classifier, record: ServiceRecord) -> None:
        """A reload let another file serve `model`: keep the one before for the new one's probation."""
        serving = self._serving(model)
        forced = self.store.was_forced(serving.card.name, serving.identity.sha256)
        reason = "forced past the gate at the gateway" if forced else ""
        self.teller.changed(model, Change("activated", reason, classifier.identity.sha256, "configuration"))
        self._begin_probation(model, classifier, record, None)

    def follow(self, classifiers: Mapping[str, Classifier]) -> None:
        """Make store and shadows match what serves now: after a start and after each reload."""
        for model, classifier in classifiers.items():
            try:
                self._take_over(model, classifier)
                self.shadows.follow(model)
            except (EdgeNodeError, OSError) as error:
                log.error("%s", error)
            self.teller.publish(model)
        self.teller.keep(classifiers)
        for model in [name for name in (*self.probation, *self.shadows.models()) if name not in classifiers]:
            self.end_probation(model)
            self.shadows.end(model)

    def end_probation(self, model: str) -> None:
        """The way back is no longer kept."""
        probation = self.probation.pop(model, None)
        if probation is not None:
            probation.before.close()

    def store_name(self, model: str) -> str:
        """What the store calls what serves as `model`. Raises ModelError."""
        serving = self._serving(model)
        name = serving.card.name
        for other in self._node.pipeline.models():
            theirs = self._node.pipeline.classifier(other)
            if other != model and theirs is not None and theirs.card.name == name:
                raise ModelError(
                    f"model {model}: [models.{other}] has the same name {name!r} in its card, and the store could "
                    "not tell them apart; give one another name"
                )
        return name

    def _change(
        self, model: str, installed: InstalledModel, what: Literal["activated", "rolled_back"], gated: bool
    ) -> InstalledModel:
        name, sha256 = installed.name, installed.sha256
        if installed.quarantined is not None:
            raise ModelError(f"model {name} {sha256[:12]}: is in quarantine ({installed.quarantined})")
        if self._serving(model).identity.sha256 == sha256:
            self.store.activate(name, sha256)
            return self.store.find(name, sha256)
        classifier = self._load(model, installed)
        try:
            with self.lock:
                serving = self._serving(model)
                misfit = self._node.pipeline.misfit(model, classifier)
                if misfit is not None:
                    raise ModelError(f"model {model}: {misfit}; activate it on the gateway, with a reload")
                refused = self._gate(model, classifier, serving) if gated else None
                if refused is not None:
                    raise ModelError(f"model {model} {sha256[:12]} is not promoted: {refused}")
                self._node.could_serve(model, classifier)  # before the store names it
                record = self._node.pipeline.record(model)
                psi = self._node.desk.drift_of(serving.identity)
                self._promote(name, sha256)
                self._begin_probation(model, self._node.serve(model, classifier), record, psi)
                self.shadows.restart(model)
                self.teller.changed(model, Change(what, "", serving.identity.sha256, "command"))
        except BaseException:
            if self._node.pipeline.classifier(model) is not classifier:
                classifier.close()
            raise
        return self.store.find(name, sha256)

    def _promote(self, name: str, sha256: str) -> None:
        shadowed = self.store.shadowed(name)
        if shadowed is not None and shadowed.sha256 == sha256:
            self.store.shadow(name, None)
        self.store.activate(name, sha256)

    def _gate(self, model: str, classifier: Classifier, serving: Classifier) -> str | None:
        measured = self.shadows.counts(model, classifier.identity.sha256)
        return gate(classifier.card, serving.identity.sha256, measured, self._node.settings.rollout)

    def _begin_probation(
        self, model: str, before: Classifier, record: ServiceRecord | None, psi: float | None
    ) -> None:
        self.end_probation(model)
        if self._node.settings.rollout.probation <= 0:
            before.close()
            return
        sample_s = record.sample_s if record is not None else None
        measured = Before(sample_s, psi)
        self.probation[model] = Probation(before, measured, self._node.clock.monotonic())

    def _in_store(self, name: str, sha256: str, fault: Fault, before: Classifier | None) -> str:
        """Quarantine and pointers; what went wrong with them, for the telling."""
        try:
            if fault.quarantine:
                self.store.quarantine(name, sha256, f"{fault.kind}: {fault.reason}")
            if before is not None:
                active = self.store.active(name)
                if active is not None and active.sha256 == sha256:
                    self.store.activate(name, before.identity.sha256)
        except ModelError as error:
            return f" (the store keeps naming it: {error})"
        return ""

    def _version_before(self, model: str, name: str, bad_sha256: str) -> Classifier | None:
        """The store's previous version, loaded, where it can take over."""
        try:
            previous = self.store.previous(name)
            if previous is None or previous.sha256 == bad_sha256 or previous.quarantined is not None:
                return None
            classifier = self._load(model, previous)
        except EdgeNodeError as error:
            log.error("model %s: the version before cannot be loaded: %s", model, error)
            return None
        misfit = self._node.pipeline.misfit(model, classifier)
        if misfit is not None:
            log.error("model %s: the version before cannot take over: %s", model, misfit)
            classifier.close()
            return None
        return classifier

    def _take_over(self, model: str, classifier: Classifier) -> None:
        """Install the configuration's file where it is new, so that there is a way back to it."""
        file = configured_file(self._node.settings, model, self._node.base_dir)
        if file is None:
            return
        name, sha256 = self.store_name(model), classifier.identity.sha256
        beside = file_sha256(file)
        if beside != sha256:
            reason = self.store.quarantined(name).get(beside)
            said = f"it is in quarantine ({reason})" if reason else "another one was activated since"
            log.warning("model %s: %s does not serve: %s; %s does", model, file, said, sha256[:12])
            return
        if self.store.configured(name) != sha256:
            self.store.adopt(file, name, sha256)
            self.store.take_over(name, sha256)
            self.store.prune(name, KEPT)

    def _load(self, model: str, installed: InstalledModel) -> Classifier:
        options = classifier_options(self._node.settings, self._node.base_dir, model)
        return load_classifier(installed.path, options)

    def _serving(self, model: str) -> Classifier:
        serving = self._node.pipeline.classifier(model)
        if serving is None:
            known = ", ".join(sorted(self._node.pipeline.models()))
            raise ConfigurationError([f"no model {model!r} serves here (there are: {known})"])
        return serving
