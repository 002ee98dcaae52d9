"""How smoothly the live page runs under 200 cameras and 100 events a second: `python -m tests.bench.live_page`.

A real Mosquitto, a synthetic fleet, Debian's Chromium without a GPU. After a warm-up it reads for `--seconds`: gaps
between animation frames, tasks over 50 ms, the renderer's busy time, memory. An operator scrolls meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, expect, sync_playwright

from tests.browser import ARGUMENTS, program
from tests.system.pages.crowd import Crowd, Publisher
from tests.system.pages.live import browser_broker, static_host

WATCH = """
window.watched = {gaps: [], tasks: []};
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) watched.tasks.push(entry.duration);
}).observe({type: "longtask"});
let last = 0;
const frame = (now) => { if (last) watched.gaps.push(now - last); last = now; requestAnimationFrame(frame); };
requestAnimationFrame(frame);
"""


def measure(
    page: Page, url: str, crowd: Crowd, warm_s: float, seconds: float, picture: Path | None
) -> dict[str, Any]:
    """Opens `url`, waits until every camera is there, reads for `seconds`."""
    page.add_init_script(WATCH)
    began_s = time.monotonic()
    page.goto(url)
    if url.endswith("#cameras"):
        expect(page.locator("li.camera")).to_have_count(crowd.cameras)
    else:
        expect(page.locator(".tile").first).to_contain_text(f"of {crowd.cameras}")
    shown_s = time.monotonic() - began_s
    page.wait_for_timeout(warm_s * 1000)
    if picture is not None:
        page.screenshot(path=picture)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    browser = page.context.browser
    assert browser is not None
    before = _metrics(session)
    page.evaluate("watched.gaps.length = watched.tasks.length = 0")
    browser.start_tracing(page=page, categories=["toplevel"])
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        page.mouse.move(400, 600)
        page.mouse.wheel(0, 500 if int(time.monotonic()) % 6 < 3 else -500)
        page.wait_for_timeout(250)
    watched = page.evaluate("watched")
    after = _metrics(session)
    cpu_ms = sorted(_task_cpu_ms(json.loads(browser.stop_tracing())))
    gaps, tasks = sorted(watched["gaps"]), watched["tasks"]
    span_s = after["Timestamp"] - before["Timestamp"]
    return {
        "all_cameras_shown_s": round(shown_s, 2),
        "seconds": round(span_s, 1),
        "frames_a_second": round(len(gaps) / span_s, 1),
        "frame_gap_ms": {
            q: round(gaps[int(float(q) / 100 * (len(gaps) - 1))], 1) for q in ("50", "95", "99", "100")
        },
        "tasks_over_50_ms": len(tasks),
        "longest_task_ms": round(max(tasks, default=0.0)),
        "main_thread_cpu": round(sum(cpu_ms) / 1000 / span_s, 3),
        "longest_task_cpu_ms": round(cpu_ms[-1]),
        "tasks_over_50_ms_of_cpu": sum(each > 50 for each in cpu_ms),
        "main_thread_busy": round((after["TaskDuration"] - before["TaskDuration"]) / span_s, 3),
        "of_that_script": round((after["ScriptDuration"] - before["ScriptDuration"]) / span_s, 3),
        "of_that_layout_and_style": round(
            sum(after[name] - before[name] for name in ("LayoutDuration", "RecalcStyleDuration")) / span_s, 3
        ),
        "heap_mib": round(after["JSHeapUsedSize"] / 2**20, 1),
        "elements": page.evaluate("document.querySelectorAll('*').length"),
        "event_rows": page.evaluate("document.querySelectorAll('button.event').length"),
        "load_average": round(os.getloadavg()[0], 1),
    }


def _task_cpu_ms(trace: dict[str, Any]) -> list[float]:
    """Processor time of each task of the page's main thread: what a loaded machine does not blur."""
    events = trace["traceEvents"]
    threads = {
        (each["pid"], each["tid"])
        for each in events
        if each.get("name") == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    return [
        each.get("tdur", 0) / 1000
        for each in events
        if each.get("ph") == "X"
        and each["name"].endswith("::RunTask")
        and (each["pid"], each["tid"]) in threads
    ]


def _metrics(session: CDPSession) -> dict[str, float]:
    return {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm", type=float, default=10.0)
    parser.add_argument("--cameras", type=int, default=200)
    parser.add_argument("--events", type=float, default=100.0, help="a second")
    parser.add_argument("--section", default="cameras", choices=("cameras", "events", "nodes"))
    parser.add_argument("--picture", type=Path, help="PNG of what was shown")
    chosen = parser.parse_args()
    crowd = Crowd(cameras=chosen.cameras, events_per_s=chosen.events)
    with tempfile.TemporaryDirectory() as folder, static_host() as host, sync_playwright() as playwright:
        broker, url = browser_broker(Path(folder), "max_queued_messages 100000")
        broker.start()
        try:
            with Publisher(broker.port, crowd) as publisher:
                chromium = playwright.chromium.launch(executable_path=program(), args=list(ARGUMENTS))
                page = chromium.new_page(viewport={"width": 1600, "height": 1000})
                where = f"{host}?broker={url}#{chosen.section}"
                found = measure(page, where, crowd, chosen.warm, chosen.seconds, chosen.picture)
                chromium.close()
            print(json.dumps({**found, "sent": publisher.sent}, indent=2))
        finally:
            broker.kill()


if __name__ == "__main__":
    main()
