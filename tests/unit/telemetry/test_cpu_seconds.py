"""Seconds of CPU by thread."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgenode.telemetry.cpu import ThreadCpu, thread_label
from edgenode.telemetry.metrics import Metrics


def cpu_seconds(metrics: Metrics, thread: str) -> float:
    """As the next scrape tells it."""
    return next(
        sample.value
        for family in text_string_to_metric_families(metrics.expose().body.decode())
        for sample in family.samples
        if sample.name == "edgenode_cpu_seconds_total" and sample.labels["thread"] == thread
    )


def test_cpu_seconds_go_by_the_names_of_threads_and_outlive_them() -> None:
    ready, stop = threading.Event(), threading.Event()

    def burn() -> None:
        total = 0
        while threading.current_thread() and total < 3_000_000:
            total += 1
        ready.set()
        stop.wait(60)

    thread = threading.Thread(target=burn, name="infer-defects")
    metrics = Metrics()
    thread.start()
    assert ready.wait(60)
    used = cpu_seconds(metrics, "infer-defects")
    stop.set()
    thread.join(60)
    assert used > 0
    assert cpu_seconds(metrics, "infer-defects") >= used


def test_a_thread_whose_command_holds_brackets_and_spaces_is_read(tmp_path: Path) -> None:
    (tmp_path / "77").mkdir()
    fields = ["S"] + ["0"] * 10 + ["150", "50"] + ["0"] * 6 + ["4242"] + ["0"] * 20
    (tmp_path / "77" / "stat").write_text("77 (av:h264 (df0) x) " + " ".join(fields))
    (tmp_path / "78").mkdir()
    (family,) = ThreadCpu(tmp_path).collect()
    assert [(sample.labels, round(sample.value, 6)) for sample in family.samples] == [
        ({"thread": "native"}, 2.0)
    ]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("MainThread", "main"),
        ("camera-line_1", "camera-line_1"),
        ("Thread-17 (work)", "other"),
        ("ThreadPoolExecutor-0_3", "other"),
        ("worker-17", "worker"),
        ("http", "http"),
        ("x" * 80, "other"),
        (None, "native"),
    ],
)
def test_thread_labels_are_few(name: str | None, label: str) -> None:
    assert thread_label(name) == label
