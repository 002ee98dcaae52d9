"""Heartbeats, conditions, and what they mean together."""

from __future__ import annotations

from edgenode.clock import ManualClock
from edgenode.telemetry.health import BEAT_LIMIT_S, Health, HealthStatus


def test_a_new_node_is_ok() -> None:
    report = Health(ManualClock()).report()
    assert (report.status, report.alive, report.ready) == (HealthStatus.OK, True, True)


def test_a_beat_must_go_on_once_it_has_begun() -> None:
    clock = ManualClock()
    health = Health(clock)
    health.beat("tick")
    clock.set(BEAT_LIMIT_S)
    assert health.report().alive
    clock.set(BEAT_LIMIT_S + 1)
    assert health.report().reasons == ("tick: no progress for 31 s (limit 30 s)",)
    health.beat("tick")
    assert health.report().alive


def test_a_watch_takes_the_place_of_the_beats_limit() -> None:
    clock = ManualClock()
    health = Health(clock)
    health.beat("camera line_1")
    health.watch("camera line_1", lambda: 0.0, limit_s=100.0)
    clock.set(99.0)
    assert health.report().alive


def test_a_heartbeat_that_raises_is_a_thread_without_progress() -> None:
    health = Health(ManualClock())

    def broken() -> float:
        raise OSError("gone")

    health.watch("publisher", broken, 5.0)
    assert health.report().reasons == ("publisher: its heartbeat cannot be read (OSError)",)


def test_failed_outweighs_degraded_and_both_reasons_are_told() -> None:
    clock = ManualClock()
    health = Health(clock)
    health.condition("broker", False, "connection refused")
    assert health.report().status is HealthStatus.DEGRADED
    health.watch("publisher", lambda: 0.0, 5.0)
    clock.set(6.0)
    report = health.report()
    assert report.status is HealthStatus.FAILED
    assert report.reasons == (
        "publisher: no progress for 6 s (limit 5 s)",
        "broker: connection refused",
    )
    assert not report.ready


def test_the_newest_word_of_a_condition_counts() -> None:
    health = Health(ManualClock())
    health.condition("disk", False, "full")
    health.condition("disk", True)
    assert health.report().status is HealthStatus.OK


def test_what_was_stopped_on_purpose_is_forgotten() -> None:
    clock = ManualClock()
    health = Health(clock)
    health.watch("camera line_1", lambda: 0.0, 5.0)
    health.condition("camera line_1", False, "offline")
    clock.set(60.0)
    health.forget("camera line_1")
    assert health.report().status is HealthStatus.OK


def test_a_heartbeat_may_ask_the_health_it_is_part_of() -> None:
    health = Health(ManualClock())

    def heartbeat() -> float:
        health.condition("self", True)
        return 0.0

    health.watch("self", heartbeat, 5.0)
    assert health.report().alive
