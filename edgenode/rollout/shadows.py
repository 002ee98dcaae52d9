"""The shadows of the models that serve: begun, ended, and kept beside an engine that was exchanged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edgenode.collect_setup import disagreements_of
from edgenode.errors import ModelError
from edgenode.inference.shadow import Shadow, ShadowCounts
from edgenode.wiring import classifier_options, load_classifier

if TYPE_CHECKING:
    from edgenode.inference.classifier import Classifier
    from edgenode.inference.store import ModelStore
    from edgenode.node.node import Node

log = logging.getLogger(__name__)

_END_S = 2.0
"""Beyond its run's limit, how long a shadow's thread may take to end."""


class Shadows:
    """One for each model at most. All methods are called under the rollout's lock, but `counts` and `get`."""

    def __init__(self, node: Node, store: ModelStore) -> None:
        self._node = node
        self._store = store
        self._shadows: dict[str, Shadow] = {}

    def models(self) -> list[str]:
        return list(self._shadows)

    def get(self, model: str) -> Shadow | None:
        return self._shadows.get(model)

    def counts(self, model: str, sha256: str) -> ShadowCounts | None:
        """What the file with this hash measured as shadow of what serves; None where it is not the shadow."""
        shadow = self._shadows.get(model)
        if shadow is None or shadow.classifier.identity.sha256 != sha256:
            return None
        return shadow.counts()

    def begin(self, model: str, classifier: Classifier) -> None:
        """Let `classifier`, which now belongs to its shadow, answer beside what serves."""
        self.end(model)
        share = self._node.settings.rollout.shadow_share
        shadow = Shadow(
            model, classifier, share, self._node.metrics, disagreements_of(self._node, model, classifier)
        )
        self._shadows[model] = shadow
        shadow.start()
        self._node.pipeline.follow(model, shadow.offer)
        log.info(
            "model %s: %s %s is its shadow", model, classifier.identity.version, classifier.identity.sha256
        )

    def end(self, model: str) -> None:
        shadow = self._detached(model)
        if shadow is not None:
            shadow.classifier.close()
            log.info("model %s: the shadow %s has ended", model, shadow.classifier.identity.sha256)

    def restart(self, model: str) -> None:
        """Another model serves: what was measured against the one before counts no more. Where the shadow itself
        serves now, it ends."""
        shadow = self._detached(model)
        if shadow is None:
            return
        serving = self._node.pipeline.classifier(model)
        if serving is None or serving.identity.sha256 == shadow.classifier.identity.sha256:
            shadow.classifier.close()
        else:
            self.begin(model, shadow.classifier)

    def follow(self, model: str) -> None:
        """Make the shadow what the store's pointer says. Raises ModelError where that cannot be."""
        serving = self._node.pipeline.classifier(model)
        assert serving is not None
        wanted = self._store.shadowed(serving.card.name)
        running = self._shadows.get(model)
        if wanted is None or wanted.sha256 == serving.identity.sha256:
            self.end(model)
            return
        if running is not None and running.classifier.identity.sha256 == wanted.sha256:
            if self._node.pipeline.misfit(model, running.classifier) is None:
                self._node.pipeline.follow(model, running.offer)
                return
            self.end(model)
        options = classifier_options(self._node.settings, self._node.base_dir, model)
        classifier = load_classifier(wanted.path, options)
        misfit = self._node.pipeline.misfit(model, classifier)
        if misfit is not None:
            classifier.close()
            raise ModelError(f"model {model}: its shadow {wanted.sha256[:12]} does not fit: {misfit}")
        self.begin(model, classifier)

    def stop(self) -> None:
        for model in list(self._shadows):
            self.end(model)

    def _detached(self, model: str) -> Shadow | None:
        """The shadow of `model`, its thread ended, its classifier open."""
        shadow = self._shadows.pop(model, None)
        if shadow is None:
            return None
        self._node.pipeline.follow(model, None)
        shadow.stop()
        if not shadow.join(self._node.settings.inference.run_timeout + _END_S):
            log.error("the shadow of model %s did not end in time and is left behind", model)
            return None
        return shadow
