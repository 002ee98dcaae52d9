"""What a node says of itself: the birth message, the summary of a model, the status page."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from edgenode import __version__
from edgenode.inference.card import ModelCard
from edgenode.records import JsonObject
from edgenode.settings import Settings
from edgenode.wiring import models_by_region

if TYPE_CHECKING:
    from edgenode.inference.classifier import Classifier
    from edgenode.inference.shadow import Shadow
    from edgenode.node import Node


def node_info(settings: Settings, classifiers: Mapping[str, Classifier]) -> JsonObject:
    """The content of the retained `/info` topic: what this node is made of."""
    serving = models_by_region(settings)
    return {
        "version": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "provider": settings.inference.provider,
        "cameras": [
            {
                "name": camera.name,
                "regions": [
                    {"name": region, "model": model}
                    for (of_camera, region), model in serving.items()
                    if of_camera == camera.name
                ],
            }
            for camera in settings.cameras
        ],
        "models": [
            {
                "name": name,
                "version": classifier.identity.version,
                "sha256": classifier.identity.sha256,
                "labels": classifier.card.labels,
            }
            for name, classifier in classifiers.items()
        ],
        "rules": [rule.name for rule in settings.rules],
    }


def card_summary(card: ModelCard) -> JsonObject:
    """What of a card is worth a retained message: enough to trust or doubt an answer."""
    evaluation = card.evaluation
    return {
        "name": card.name,
        "description": card.description,
        "task": card.task,
        "labels": card.labels,
        "input": card.input.model_dump(),
        "abstain_below": card.abstain_below,
        "architecture": card.training.architecture,
        "created_at": card.created_at,
        "accuracy": evaluation.accuracy.model_dump() if evaluation is not None else None,
        "macro_f1": evaluation.macro_f1 if evaluation is not None else None,
        "test_samples": evaluation.samples if evaluation is not None else None,
    }


def shadow_summary(shadow: Shadow | None) -> JsonObject | None:
    """What a shadow measured so far, with the keys of its payload."""
    if shadow is None:
        return None
    counts, identity = shadow.counts(), shadow.classifier.identity
    return {
        "version": identity.version,
        "sha256": identity.sha256,
        "samples": counts.samples,
        "agreed": counts.agreed,
        "skipped": counts.skipped_late,
        "failed": counts.failed,
        "non_finite": counts.non_finite,
        "mean_run_ms": round(counts.run_s / counts.samples * 1e3, 3) if counts.samples else None,
        "disagreements": [asdict(each) for each in counts.examples],
    }


def status_page_state(node: Node) -> JsonObject:
    """What /status.json and the status page show beside the health. Holds no address and no secret."""
    delivery = node.publisher.status()
    return {
        "node": node.settings.node.name,
        "version": __version__,
        "cameras": {
            name: {
                "status": report.status.value,
                "reason": report.reason,
                "fps": round(report.fps, 1),
                "reconnects": report.reconnects,
                "size": f"{report.width}x{report.height}",
                "codec": report.codec,
            }
            for name, report in sorted(node.reports.items())
        },
        "regions": {
            f"{decision.camera}.{decision.region}": {
                "label": decision.label,
                "probability": round(decision.probability, 3),
                "since": decision.since_at.isoformat(timespec="seconds"),
                "reason": decision.reason,
            }
            for decision in node.desk.current()
        },
        "models": {
            name: {"version": classifier.identity.version, "sha256": classifier.identity.sha256}
            for name in node.pipeline.models()
            if (classifier := node.pipeline.classifier(name)) is not None
        },
        "samples": {
            name: {
                "offered": counts.offered,
                "taken": counts.taken,
                "held": counts.held,
                "dropped": {reason.value: count for reason, count in counts.dropped.items() if count},
            }
            for name, counts in node.pipeline.counts().items()
        },
        "delivery": {
            "connected": delivery.connected,
            "reason": delivery.reason,
            "outbox_messages": delivery.outbox_messages,
            "outbox_bytes": delivery.outbox_bytes,
        },
    }
