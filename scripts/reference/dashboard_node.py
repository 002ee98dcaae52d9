"""The dashboard of one node."""

from __future__ import annotations

from scripts.reference.grafana import Dashboard, Panel, Query
from scripts.reference.panels import matchers, processor, quantile, quantiles, rate, whether

NODE = Dashboard(
    "node",
    "edgenode: node",
    (
        Panel("Frames classified a second", (Query(f"edgenode_camera_fps{{{matchers()}}}", "{{camera}}"),)),
        whether("Cameras", f"edgenode_camera_up{{{matchers()}}}", "{{camera}}"),
        Panel("Frames decoded", (Query(rate("edgenode_frames_total", "camera"), "{{camera}}"),), unit="ops"),
        Panel(
            "Damaged frames and new connections",
            (
                Query(rate("edgenode_corrupt_frames_total", "camera"), "damaged {{camera}}"),
                Query(rate("edgenode_camera_reconnects_total", "camera"), "reconnects {{camera}}"),
            ),
            unit="ops",
        ),
        Panel(
            "What became of samples",
            (
                Query(rate("edgenode_samples_taken_total", "model"), "taken {{model}}"),
                Query(rate("edgenode_samples_dropped_total", "reason"), "dropped: {{reason}}"),
                Query(rate("edgenode_samples_failed_total", "reason"), "taken, but {{reason}}"),
            ),
            unit="ops",
            stacked=True,
            text="Taken and dropped together are what the cameras offered, but for the few that wait.",
        ),
        Panel(
            "Samples in one run",
            (
                Query(
                    f"{rate('edgenode_batch_size_sum', 'model')} / {rate('edgenode_batch_size_count', 'model')}",
                    "{{model}}",
                ),
            ),
        ),
        Panel(
            "Time of each stage, p99",
            (Query(quantile(0.99, "edgenode_stage_seconds", "stage"), "{{stage}}"),),
            unit="s",
        ),
        Panel(
            "From capture to PUBLISH and to PUBACK",
            (
                *quantiles("edgenode_capture_to_publish_seconds", "instance", "publish"),
                *quantiles("edgenode_capture_to_ack_seconds", "instance", "acknowledged"),
            ),
            unit="s",
        ),
        Panel(
            "Confidence, median",
            (Query(quantile(0.5, "edgenode_prediction_confidence", "model"), "{{model}}"),),
            unit="percentunit",
        ),
        Panel(
            "Drift",
            (
                Query(f"edgenode_drift_psi{{{matchers()}}}", "{{model}} confidence"),
                Query(f"edgenode_embedding_drift_psi{{{matchers()}}}", "{{model}} embedding"),
            ),
            text="Population stability index against the model card; over 0.25 calls for a look.",
            bad_from=0.25,
        ),
        Panel(
            "Failures of models",
            (
                Query(rate("edgenode_inference_failures_total", "model, reason"), "{{model}} {{reason}}"),
                Query(
                    rate("edgenode_model_rollbacks_total", "model, reason"),
                    "{{model}} sent back: {{reason}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            "Shadows",
            (
                Query(rate("edgenode_shadow_samples_total", "model, result"), "{{model}} {{result}}"),
                Query(
                    rate("edgenode_shadow_skipped_total", "model, reason"), "{{model}} skipped: {{reason}}"
                ),
            ),
            unit="ops",
            text="Samples a second that a second model answered too, and whether it said the same.",
        ),
        Panel(
            "Pictures to label",
            (
                Query(f"edgenode_collect_pictures{{{matchers()}}}", "on the disk"),
                Query(
                    f"sum by (rule, why) (increase(edgenode_collect_kept_total{{{matchers()}}}[1h]))",
                    "kept an hour: {{rule}} {{why}}",
                ),
                Query(
                    f"sum by (reason) (increase(edgenode_collect_dropped_total{{{matchers()}}}[1h]))",
                    "not kept an hour: {{reason}}",
                ),
            ),
        ),
        Panel(
            "Pictures on the disk",
            (Query(f"edgenode_collect_bytes{{{matchers()}}}", "bytes"),),
            unit="bytes",
        ),
        Panel("Models", (Query(f"edgenode_model_info{{{matchers()}}}"),), kind="table"),
        Panel(
            "Steps of events an hour",
            (
                Query(
                    f"sum by (rule, event_type) (increase(edgenode_events_total{{{matchers()}}}[1h]))",
                    "{{rule}} {{event_type}}",
                ),
            ),
        ),
        Panel(
            "Outbox",
            (
                Query(f"edgenode_outbox_messages{{{matchers()}}}", "waiting"),
                Query(rate("edgenode_events_delivered_total"), "delivered a second"),
                Query(rate("edgenode_events_refused_total"), "refused a second"),
                Query(rate("edgenode_outbox_evicted_total", "reason"), "lost a second: {{reason}}"),
            ),
        ),
        Panel(
            "Outbox on the disk",
            (
                Query(f"edgenode_outbox_bytes{{{matchers()}}}", "taken"),
                Query(f"edgenode_outbox_limit_bytes{{{matchers()}}}", "may take"),
            ),
            unit="bytes",
            text="Delivered events stay for outbox.keep and make room first.",
        ),
        Panel(
            "Disk",
            (
                Query(f"edgenode_disk_free_bytes{{{matchers()}}}", "free"),
                Query(f"edgenode_disk_bytes{{{matchers()}}}", "size"),
            ),
            unit="bytes",
        ),
        whether("Clock", f"edgenode_clock_synchronised{{{matchers()}}}", "synchronised"),
        whether("Broker", f"edgenode_mqtt_connected{{{matchers()}}}", "connected"),
        Panel(
            "Commands",
            (Query(rate("edgenode_commands_total", "verb, result"), "{{verb}} {{result}}"),),
            unit="ops",
        ),
        Panel(
            "Lost beside the outbox",
            (Query(rate("edgenode_messages_dropped_total", "kind"), "{{kind}}"),),
            unit="ops",
            text="States, answers and predictions that a full buffer lost, and commands that got no answer.",
        ),
        Panel(
            "Memory",
            (Query(f"process_resident_memory_bytes{{{matchers()}}}", "resident"),),
            unit="bytes",
        ),
        processor(),
        Panel(
            "Restarts in an hour",
            (Query(f"changes(process_start_time_seconds{{{matchers()}}}[1h])", "restarts"),),
            bad_from=2,
        ),
    ),
)
