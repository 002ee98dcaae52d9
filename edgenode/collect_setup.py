"""From settings to the collector: what it must know of regions and models, and where it finds frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgenode.collect.choose import ModelFacts
from edgenode.decision_setup import regions_of
from edgenode.records import Batch, Frame
from edgenode.settings import Settings

if TYPE_CHECKING:
    from edgenode.collect.collector import Collector, CollectPlan
    from edgenode.inference.card import ModelCard
    from edgenode.inference.classifier import Classifier, Outputs
    from edgenode.node.node import Node


def collector_of(node: Node, cards: Mapping[str, ModelCard]) -> Collector:
    """The collector of `node` at work, fed by its pipeline, which has no engine yet; frames come from the cameras."""
    from edgenode.collect.collector import Collector, CollectorParts

    def frame(camera: str, index: int) -> Frame | None:
        running = node.pipeline.camera(camera)
        return running.recent_frame(index) if running is not None else None

    collector = Collector(CollectorParts(node.settings.node.state_dir, frame, node.metrics))
    collector.apply(collect_plan(node.settings, cards))
    node.pipeline.witness = collector.offer
    return collector


def disagreements_of(node: Node, model: str, shadow: Classifier) -> Callable[[Batch, Outputs, Outputs], None]:
    """What a shadow of `model` tells of the batches on which it differs: the collector gets both answers."""
    from edgenode.inference.engine import predictions_of

    def witness(batch: Batch, served: Outputs, shadowed: Outputs) -> None:
        serving = node.pipeline.classifier(model)
        if serving is not None:
            node.collector.compare(
                batch, predictions_of(batch, served, serving), predictions_of(batch, shadowed, shadow)
            )

    return witness


def collect_plan(settings: Settings, cards: Mapping[str, ModelCard]) -> CollectPlan:
    """`cards` by the name under `[models]`."""
    from edgenode.collect.collector import CollectPlan

    places = [(camera, region) for camera in settings.cameras for region in regions_of(camera)]
    return CollectPlan(
        settings=settings.collect,
        facts=ModelFacts(
            multi_label=frozenset(name for name, card in cards.items() if card.task == "multi_label"),
            abstain_below={
                (camera.name, region.name): region.smoothing.abstain_below
                for camera, region in places
                if region.smoothing.abstain_below is not None
            },
        ),
        regions={(camera.name, region.name): region for camera, region in places},
    )


def wants_frames(settings: Settings, camera: str) -> bool:
    """Whether a rule cuts this camera's regions out of the whole frame, so that some must be kept."""
    return any(
        rule.pixels == "region" and (not rule.cameras or camera in rule.cameras)
        for rule in settings.collect.rules
    )
