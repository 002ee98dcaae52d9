"""What a node says of itself: the birth message, the summary of a model, the status page."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from edgenode import __version__
from edgenode.decision_setup import regions_of
from edgenode.delivery.payloads import rfc3339
from edgenode.inference.card import ModelCard
from edgenode.records import CameraReport, CameraStatus, JsonObject
from edgenode.settings import RegionSettings, Settings
from edgenode.settings.values import Point
from edgenode.telemetry.health import Health, HealthStatus
from edgenode.wiring import models_by_region

if TYPE_CHECKING:
    from edgenode.delivery.observer import DeliveryStatus
    from edgenode.inference.classifier import Classifier
    from edgenode.inference.shadow import Shadow
    from edgenode.node.node import Node


def node_info(settings: Settings, classifiers: Mapping[str, Classifier], started_at: datetime) -> JsonObject:
    """The content of the retained `/info` topic: what this node is made of, and since when it runs."""
    serving = models_by_region(settings)
    return {
        "version": __version__,
        "started_at": rfc3339(started_at),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "provider": " ".join(sorted({c.provider for c in classifiers.values()}))
        or settings.inference.provider,
        "cameras": [
            {
                "name": camera.name,
                "regions": [
                    {
                        "name": region.name,
                        "model": serving[camera.name, region.name],
                        "outline": region_outline(region),
                    }
                    for region in regions_of(camera)
                    if (camera.name, region.name) in serving
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


def region_outline(region: RegionSettings) -> list[Point] | None:
    """The corners of a region in fractions of the frame, in turn; None for the whole frame."""
    if region.box is not None:
        x0, y0, x1, y1 = region.box
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return region.polygon or region.quad


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


def overall_state(
    health: Health, reports: Mapping[str, CameraReport], settings: Settings, delivery: DeliveryStatus
) -> tuple[str, str]:
    """Turn what cameras and delivery say into conditions of `health`; the state and reason for `/state`."""
    if len(reports) == len(settings.cameras):  # until then the node is not ready, but nothing is wrong
        health.condition("cameras", True)
    poor = sorted(
        f"{name} {report.status.value}"
        for name, report in reports.items()
        if report.status not in (CameraStatus.ONLINE, CameraStatus.DISABLED, CameraStatus.ENDED)
    )
    health.condition("pictures", not poor, ", ".join(poor))
    health.condition("broker", delivery.connected, delivery.reason)
    health.condition("name", not delivery.rival, delivery.rival)
    health.condition("outbox", not delivery.degraded, delivery.degraded_reason)
    report = health.report()
    return "online" if report.status is HealthStatus.OK else "degraded", "; ".join(report.reasons)


def live_page_broker(node: Node) -> JsonObject:
    """How the live page finds the broker: `broker_url` is null where nobody has said it."""
    mqtt, broker = node.settings.mqtt, node.broker
    return {
        "base_topic": mqtt.base_topic,
        "broker_url": broker.websocket_url if broker is not None else node.settings.http.broker_url,
        "protocol": "3.1.1" if broker is not None else mqtt.protocol,
    }


def status_page_state(node: Node) -> JsonObject:
    """What /status.json and the status page show beside the health. No secret, and no address but the one that
    browsers are meant to know."""
    delivery = node.publisher.status()
    return {
        "node": node.settings.node.name,
        "version": __version__,
        "live": live_page_broker(node),
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
            "in_memory": delivery.pending,
        },
    }
