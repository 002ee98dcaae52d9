"""The dashboard of all nodes."""

from __future__ import annotations

from scripts.reference.grafana import Dashboard, Panel, Query
from scripts.reference.panels import stat, whether

OVERVIEW = Dashboard(
    "overview",
    "edgenode: overview",
    (
        stat("Nodes that answer", 'sum(up{job="edgenode"})'),
        stat("Nodes that do not", 'count(up{job="edgenode"} == 0) or vector(0)', bad_from=1),
        stat("Cameras without pictures", "count(edgenode_camera_up == 0) or vector(0)", bad_from=1),
        stat("Nodes without a broker", "count(edgenode_mqtt_connected == 0) or vector(0)", bad_from=1),
        stat("Events in 24 h", 'sum(increase(edgenode_events_total{event_type="start"}[24h]))'),
        stat(
            "Events lost in 24 h",
            "sum(increase(edgenode_outbox_evicted_total[24h])) or vector(0)",
            bad_from=1,
        ),
        Panel(
            "Alerts",
            (Query('ALERTS{alertname=~"Edgenode.*", alertstate="firing"}'),),
            kind="table",
            text="Of deploy/prometheus/rules.yml.",
        ),
        whether("Cameras", "edgenode_camera_up", "{{instance}} {{camera}}"),
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
