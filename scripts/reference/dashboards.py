"""`deploy/grafana/dashboards/*.json`: what there is to look at."""

from __future__ import annotations

from scripts.reference.grafana import Dashboard, Panel, Query

_HOW_OFTEN = "$__rate_interval"


def _rate(metric: str, by: str = "instance", matchers: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_matchers(matchers)}}}[{_HOW_OFTEN}]))"


def _quantile(q: float, metric: str, by: str = "instance") -> str:
    """`metric` without `_bucket`."""
    return f"histogram_quantile({q}, {_rate(metric + '_bucket', f'{by}, le')})"


def _matchers(more: str = "") -> str:
    return f'instance=~"$instance"{", " if more else ""}{more}'


def _quantiles(metric: str, by: str, legend: str) -> tuple[Query, ...]:
    return tuple(Query(_quantile(q, metric, by), f"p{round(q * 100)} {legend}") for q in (0.5, 0.99))


OVERVIEW = Dashboard(
    "overview",
    "edgenode: overview",
    (
        Panel("Nodes that answer", (Query('sum(up{job="edgenode"})'),), kind="stat", width=4, height=4),
        Panel(
            "Nodes that do not",
            (Query('count(up{job="edgenode"} == 0) or vector(0)'),),
            kind="stat",
            width=4,
            height=4,
            bad_from=1,
        ),
        Panel(
            "Cameras without pictures",
            (Query("count(edgenode_camera_up == 0) or vector(0)"),),
            kind="stat",
            width=4,
            height=4,
            bad_from=1,
        ),
        Panel(
            "Nodes without a broker",
            (Query("count(edgenode_mqtt_connected == 0) or vector(0)"),),
            kind="stat",
            width=4,
            height=4,
            bad_from=1,
        ),
        Panel(
            "Events in 24 h",
            (Query('sum(increase(edgenode_events_total{event_type="start"}[24h]))'),),
            kind="stat",
            width=4,
            height=4,
        ),
        Panel(
            "Events lost in 24 h",
            (Query("sum(increase(edgenode_outbox_evicted_total[24h])) or vector(0)"),),
            kind="stat",
            width=4,
            height=4,
            bad_from=1,
        ),
        Panel(
            "Alerts",
            (Query('ALERTS{alertname=~"Edgenode.*", alertstate="firing"}'),),
            kind="table",
            text="Of deploy/prometheus/rules.yml.",
        ),
        Panel(
            "Cameras",
            (Query("edgenode_camera_up", "{{instance}} {{camera}}"),),
            kind="state-timeline",
            bad_under=1,
        ),
        Panel(
            "Events an hour",
            (Query('sum by (rule) (increase(edgenode_events_total{event_type="start"}[1h]))', "{{rule}}"),),
        ),
        Panel("Inferences", (Query("edgenode:inferences:rate5m", "{{instance}}"),), unit="ops"),
        Panel(
            "From capture to PUBLISH, p99",
            (
                Query(
                    "histogram_quantile(0.99, sum by (instance, le) "
                    "(rate(edgenode_capture_to_publish_seconds_bucket[5m])))",
                    "{{instance}}",
                ),
            ),
            unit="s",
        ),
        Panel("Events that wait", (Query("edgenode_outbox_messages", "{{instance}}"),)),
        Panel(
            "Certificates end in",
            (Query("edgenode_certificate_expiry_timestamp_seconds - time()", "{{instance}}"),),
            unit="s",
            text="Of the node's own certificate; renew it before it is 0.",
        ),
    ),
    one_node=False,
)

NODE = Dashboard(
    "node",
    "edgenode: node",
    (
        Panel("Frames classified a second", (Query(f"edgenode_camera_fps{{{_matchers()}}}", "{{camera}}"),)),
        Panel(
            "Cameras",
            (Query(f"edgenode_camera_up{{{_matchers()}}}", "{{camera}}"),),
            kind="state-timeline",
            bad_under=1,
        ),
        Panel("Frames decoded", (Query(_rate("edgenode_frames_total", "camera"), "{{camera}}"),), unit="ops"),
        Panel(
            "Damaged frames and new connections",
            (
                Query(_rate("edgenode_corrupt_frames_total", "camera"), "damaged {{camera}}"),
                Query(_rate("edgenode_camera_reconnects_total", "camera"), "reconnects {{camera}}"),
            ),
            unit="ops",
        ),
        Panel(
            "What became of samples",
            (
                Query(_rate("edgenode_samples_taken_total", "model"), "taken {{model}}"),
                Query(_rate("edgenode_samples_dropped_total", "reason"), "dropped: {{reason}}"),
                Query(_rate("edgenode_samples_failed_total", "reason"), "taken, but {{reason}}"),
            ),
            unit="ops",
            stacked=True,
            text="Taken and dropped together are what the cameras offered, but for the few that wait.",
        ),
        Panel(
            "Samples in one run",
            (
                Query(
                    f"{_rate('edgenode_batch_size_sum', 'model')} / {_rate('edgenode_batch_size_count', 'model')}",
                    "{{model}}",
                ),
            ),
        ),
        Panel(
            "Time of each stage, p99",
            (Query(_quantile(0.99, "edgenode_stage_seconds", "stage"), "{{stage}}"),),
            unit="s",
        ),
        Panel(
            "From capture to PUBLISH and to PUBACK",
            (
                *_quantiles("edgenode_capture_to_publish_seconds", "instance", "publish"),
                *_quantiles("edgenode_capture_to_ack_seconds", "instance", "acknowledged"),
            ),
            unit="s",
        ),
        Panel(
            "Confidence, median",
            (Query(_quantile(0.5, "edgenode_prediction_confidence", "model"), "{{model}}"),),
            unit="percentunit",
        ),
        Panel(
            "Drift",
            (
                Query(f"edgenode_drift_psi{{{_matchers()}}}", "{{model}} confidence"),
                Query(f"edgenode_embedding_drift_psi{{{_matchers()}}}", "{{model}} embedding"),
            ),
            text="Population stability index against the model card; over 0.25 calls for a look.",
            bad_from=0.25,
        ),
        Panel(
            "Failures of models",
            (
                Query(_rate("edgenode_inference_failures_total", "model, reason"), "{{model}} {{reason}}"),
                Query(
                    _rate("edgenode_model_rollbacks_total", "model, reason"),
                    "{{model}} sent back: {{reason}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            "Shadows",
            (
                Query(_rate("edgenode_shadow_samples_total", "model, result"), "{{model}} {{result}}"),
                Query(
                    _rate("edgenode_shadow_skipped_total", "model, reason"), "{{model}} skipped: {{reason}}"
                ),
            ),
            unit="ops",
            text="Samples a second that a second model answered too, and whether it said the same.",
        ),
        Panel(
            "Pictures to label",
            (
                Query(f"edgenode_collect_pictures{{{_matchers()}}}", "on the disk"),
                Query(
                    f"sum by (rule, why) (increase(edgenode_collect_kept_total{{{_matchers()}}}[1h]))",
                    "kept an hour: {{rule}} {{why}}",
                ),
                Query(
                    f"sum by (reason) (increase(edgenode_collect_dropped_total{{{_matchers()}}}[1h]))",
                    "not kept an hour: {{reason}}",
                ),
            ),
        ),
        Panel(
            "Pictures on the disk",
            (Query(f"edgenode_collect_bytes{{{_matchers()}}}", "bytes"),),
            unit="bytes",
        ),
        Panel("Models", (Query(f"edgenode_model_info{{{_matchers()}}}"),), kind="table"),
        Panel(
            "Steps of events an hour",
            (
                Query(
                    f"sum by (rule, event_type) (increase(edgenode_events_total{{{_matchers()}}}[1h]))",
                    "{{rule}} {{event_type}}",
                ),
            ),
        ),
        Panel(
            "Outbox",
            (
                Query(f"edgenode_outbox_messages{{{_matchers()}}}", "waiting"),
                Query(_rate("edgenode_events_delivered_total"), "delivered a second"),
                Query(_rate("edgenode_events_refused_total"), "refused a second"),
                Query(_rate("edgenode_outbox_evicted_total", "reason"), "lost a second: {{reason}}"),
            ),
        ),
        Panel(
            "Outbox on the disk",
            (
                Query(f"edgenode_outbox_bytes{{{_matchers()}}}", "taken"),
                Query(f"edgenode_outbox_limit_bytes{{{_matchers()}}}", "may take"),
            ),
            unit="bytes",
            text="Delivered events stay for outbox.keep and make room first.",
        ),
        Panel(
            "Disk",
            (
                Query(f"edgenode_disk_free_bytes{{{_matchers()}}}", "free"),
                Query(f"edgenode_disk_bytes{{{_matchers()}}}", "size"),
            ),
            unit="bytes",
        ),
        Panel(
            "Clock",
            (Query(f"edgenode_clock_synchronised{{{_matchers()}}}", "synchronised"),),
            kind="state-timeline",
            bad_under=1,
        ),
        Panel(
            "Broker",
            (Query(f"edgenode_mqtt_connected{{{_matchers()}}}", "connected"),),
            kind="state-timeline",
            bad_under=1,
        ),
        Panel(
            "Commands",
            (Query(_rate("edgenode_commands_total", "verb, result"), "{{verb}} {{result}}"),),
            unit="ops",
        ),
        Panel(
            "Memory",
            (Query(f"process_resident_memory_bytes{{{_matchers()}}}", "resident"),),
            unit="bytes",
        ),
        Panel(
            "Processor by thread",
            (Query(_rate("edgenode_cpu_seconds_total", "thread"), "{{thread}}"),),
            text="1 is one core.",
            stacked=True,
        ),
        Panel(
            "Restarts in an hour",
            (Query(f"changes(process_start_time_seconds{{{_matchers()}}}[1h])", "restarts"),),
            bad_from=2,
        ),
    ),
)

ENERGY = Dashboard(
    "energy",
    "edgenode: energy",
    (
        Panel(
            "Power",
            (Query(f"edgenode_power_watts{{{_matchers()}}}", "{{source}}"),),
            unit="watt",
            text="Of what the meter covers; empty where the machine has none.",
        ),
        Panel(
            "Joules an inference",
            (
                Query(
                    f"edgenode:energy_joules_per_inference:rate5m{{{_matchers()}}}", "{{instance}} {{source}}"
                ),
            ),
            unit="joule",
            text="The whole package counts, idle power included.",
        ),
        Panel(
            "Energy an hour",
            (
                Query(
                    "sum by (domain, source) "
                    f"(increase(edgenode_energy_joules_total{{{_matchers()}}}[1h])) / 3600",
                    "{{source}} {{domain}}",
                ),
            ),
            unit="watth",
            text="A domain may contain another: package-0/core is inside package-0.",
        ),
        Panel(
            "Power of each model",
            (Query(_rate("edgenode_inference_joules_total", "model"), "{{model}}"),),
            unit="watt",
            text="Its share of the processor's joules, by CPU time.",
            stacked=True,
        ),
        Panel(
            "Power of each stage",
            (Query(_rate("edgenode_stage_joules_total", "stage"), "{{stage}}"),),
            unit="watt",
            text="Their threads' share of the same joules.",
            stacked=True,
        ),
        Panel(
            "Governor: share of the frame rate left",
            (Query(f"edgenode_governor_share{{{_matchers()}}}", "{{camera}}"),),
            unit="percentunit",
            text="Empty where [energy] sets no limit.",
        ),
        Panel(
            "Governor: measured over limit",
            (Query(f"edgenode_governor_pressure{{{_matchers()}}}", "{{limit}}"),),
            unit="percentunit",
            text="Above 100 % frame rates fall.",
        ),
        Panel(
            "Temperature",
            (Query(f"edgenode_temperature_celsius{{{_matchers()}}}", "{{zone}}"),),
            unit="celsius",
        ),
        Panel(
            "CPU seconds an inference",
            (Query(f"edgenode:cpu_seconds_per_inference:rate5m{{{_matchers()}}}", "{{instance}}"),),
            unit="s",
        ),
        Panel(
            "Processor by thread",
            (Query(_rate("edgenode_cpu_seconds_total", "thread"), "{{thread}}"),),
            text="1 is one core.",
            stacked=True,
        ),
        Panel(
            "What gates save",
            (Query(_rate("edgenode_gate_skipped_total", "camera, gate"), "{{camera}} {{gate}}"),),
            unit="ops",
            text="Frames that were not classified because nothing moved.",
        ),
        Panel(
            "Beginnings of motion, seen by the packet gate or not",
            (Query(_rate("edgenode_gate_audits_total", "camera, result"), "{{camera}} {{result}}"),),
            unit="ops",
            text="Counted while everything is decoded in spite of a closed gate, cameras.gate_audit of the time.",
        ),
        Panel(
            "Gates",
            (Query(f"edgenode_gate_open{{{_matchers()}}}", "{{camera}}"),),
            kind="state-timeline",
        ),
    ),
)
DASHBOARDS = (OVERVIEW, NODE, ENERGY)
