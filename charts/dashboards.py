"""Writes the Grafana dashboards of the chart: `python charts/dashboards.py`.

A panel is one line here and fifty in Grafana's JSON; what an operator looks at should be readable in a review.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "imaging" / "dashboards"
WIDTH, HEIGHT = 8, 7

CALLS = "rpc_server_call_duration_seconds"
STORE = "imaging_objectstore_operation_duration_seconds"
DATABASE = "imaging_database_operation_duration_seconds"
WORK = "imaging_work_duration_seconds"
OURS = 'component=~"$component"'


@dataclass(frozen=True)
class Panel:
    """A graph: its title, the unit of Grafana, what the legend shows, and the query."""

    title: str
    unit: str
    legend: str
    query: str


def rate(metric: str, labels: str = "", by: str = "component") -> str:
    """Events a second, by some labels."""
    inside = ", ".join(filter(None, (OURS, labels)))
    return f"sum by ({by}) (rate({metric}{{{inside}}}[$__rate_interval]))"


def quantile(q: float, metric: str, labels: str = "", by: str = "component") -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({q}, {rate(metric + '_bucket', labels, f'le, {by}')})"


def share(part: str, whole: str) -> str:
    """A part of a whole."""
    return f"{part} / {whole}"


HEALTH = [
    Panel("Scraped", "short", "{{component}} {{instance}}", f"up{{{OURS}}}"),
    Panel("Calls", "reqps", "{{component}}", rate(f"{CALLS}_count")),
    Panel(
        "Calls by status",
        "reqps",
        "{{rpc_response_status_code}}",
        rate(f"{CALLS}_count", by="rpc_response_status_code"),
    ),
    Panel(
        "Share of calls without error",
        "percentunit",
        "{{component}}",
        share(rate(f"{CALLS}_count", 'rpc_response_status_code="OK"'), rate(f"{CALLS}_count")),
    ),
    Panel("Latency of calls, median", "s", "{{component}}", quantile(0.5, CALLS, 'rpc_kind="unary"')),
    Panel("Latency of calls, 99 of 100", "s", "{{component}}", quantile(0.99, CALLS, 'rpc_kind="unary"')),
    Panel(
        "Calls and streams now",
        "short",
        "{{rpc_method}}",
        f"sum by (rpc_method) (rpc_server_active_requests{{{OURS}}}) > 0",
    ),
    Panel("Memory", "bytes", "{{component}} {{instance}}", f"process_resident_memory_bytes{{{OURS}}}"),
    Panel(
        "Processors",
        "short",
        "{{component}} {{instance}}",
        f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])",
    ),
    Panel(
        "Open files of the limit",
        "percentunit",
        "{{component}}",
        f"process_open_fds{{{OURS}}} / process_max_fds{{{OURS}}}",
    ),
]
INGEST = [
    Panel("Instances by outcome", "cps", "{{outcome}}", rate("imaging_storage_instances_total", by="outcome")),
    Panel("Bytes in", "Bps", "{{outcome}}", rate("imaging_storage_received_bytes_total", by="outcome")),
    Panel(
        "Share refused",
        "percentunit",
        "refused",
        share(
            '(sum(rate(imaging_storage_instances_total{outcome=~"rejected_.*"}[$__rate_interval])) or vector(0))',
            "(sum(rate(imaging_storage_instances_total[$__rate_interval])) > 0 or vector(1))",
        ),
    ),
    Panel(
        "Memory of uploads, of its limit",
        "percentunit",
        "{{instance}}",
        "imaging_storage_in_flight_bytes / imaging_storage_in_flight_limit_bytes",
    ),
    Panel("Upload streams now", "short", "streams", 'sum(rpc_server_active_requests{rpc_method=~".*/StoreInstances"})'),
    Panel("Bytes out", "Bps", "{{kind}}", rate("imaging_storage_sent_bytes_total", by="kind")),
    Panel("Messages out", "mps", "{{kind}}", rate("imaging_storage_messages_sent_total", by="kind")),
    Panel(
        "Length of retrievals, 95 of 100",
        "s",
        "{{rpc_method}}",
        quantile(0.95, CALLS, 'rpc_method=~".*/Retrieve.*"', "rpc_method"),
    ),
    Panel(
        "Searches, 99 of 100", "s", "{{rpc_method}}", quantile(0.99, CALLS, 'rpc_method=~".*/Search.*"', "rpc_method")
    ),
    Panel("Codec processes at work", "short", "{{instance}}", "imaging_codecs_workers_busy"),
]
RUNS = [
    Panel("Runs by state", "short", "{{state}}", "max by (state) (imaging_pipeline_runs)"),
    Panel("Age of the oldest unfinished run", "s", "oldest", "max(imaging_pipeline_oldest_unfinished_run_age_seconds)"),
    Panel(
        "Runs that ended in the last hour",
        "short",
        "{{state}}",
        'delta(max by (state) (imaging_pipeline_runs{state=~"succeeded|failed|cancelled|skipped"})[1h:1m])',
    ),
    Panel("Work now", "short", "{{component}}", "sum by (component) (imaging_work_running)"),
    Panel("Work done", "ops", "{{component}} {{outcome}}", rate(f"{WORK}_count", by="component, outcome")),
    Panel("Length of work, median", "s", "{{component}}", quantile(0.5, WORK)),
    Panel("Length of work, 95 of 100", "s", "{{component}}", quantile(0.95, WORK)),
    Panel(
        "Reports given out",
        "reqps",
        "{{rpc_method}}",
        rate(f"{CALLS}_count", 'rpc_method=~"imaging.reporting.*"', "rpc_method"),
    ),
]
STORAGE = [
    Panel("Room on the disk of data_dir", "bytes", "{{component}} {{instance}}", f"imaging_data_free_bytes{{{OURS}}}"),
    Panel(
        "Share that is free",
        "percentunit",
        "{{component}} {{instance}}",
        "imaging_data_free_bytes / imaging_data_size_bytes",
    ),
    Panel("Object store operations", "ops", "{{operation}}", rate(f"{STORE}_count", by="operation")),
    Panel(
        "Object store, not ok",
        "ops",
        "{{operation}} {{outcome}}",
        f'(sum by (operation, outcome) (rate({STORE}_count{{outcome!="ok"}}[$__rate_interval]))) or vector(0)',
    ),
    Panel("Object store, median", "s", "{{operation}}", quantile(0.5, STORE, by="operation")),
    Panel("Object store, 99 of 100", "s", "{{operation}}", quantile(0.99, STORE, by="operation")),
    Panel(
        "Database operations",
        "ops",
        "{{component}} {{operation}}",
        rate(f"{DATABASE}_count", by="component, operation"),
    ),
    Panel(
        "Database, not ok",
        "ops",
        "{{component}} {{outcome}}",
        f'(sum by (component, outcome) (rate({DATABASE}_count{{outcome!="ok"}}[$__rate_interval]))) or vector(0)',
    ),
    Panel("Database, median", "s", "{{component}} {{operation}}", quantile(0.5, DATABASE, by="component, operation")),
    Panel(
        "Database, 99 of 100", "s", "{{component}} {{operation}}", quantile(0.99, DATABASE, by="component, operation")
    ),
    Panel("Uploads can be kept", "bool_yes_no", "{{instance}}", f"imaging_storage_writable{{{OURS}}}"),
    Panel("In quarantine", "short", "instances", f"max(imaging_storage_quarantined{{{OURS}}})"),
    Panel("Orphans at the last sweep", "short", "objects", f"max(imaging_storage_orphans{{{OURS}}})"),
    Panel("Since the last sweep", "s", "time", f"time() - max(imaging_storage_sweep_time_seconds{{{OURS}}})"),
    Panel(
        "Kept objects that are damaged",
        "short",
        "{{condition}}",
        f"sum by (condition) (imaging_storage_objects_damaged{{{OURS}}})",
    ),
]
DASHBOARDS = {
    "health": ("Imaging: service health", HEALTH),
    "ingest-retrieval": ("Imaging: ingest and retrieval", INGEST),
    "runs": ("Imaging: runs", RUNS),
    "storage": ("Imaging: storage", STORAGE),
}


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard as Grafana imports it."""
    title, panels = DASHBOARDS[name]
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "uid": f"imaging-{name}",
        "title": title,
        "tags": ["imaging"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
                {
                    "name": "component",
                    "type": "query",
                    "datasource": source,
                    "query": 'label_values(target_info{service_name=~"imaging-.*"}, component)',
                    "includeAll": True,
                    "allValue": ".*",
                    "multi": True,
                    "current": {"text": ["All"], "value": ["$__all"]},
                    "refresh": 2,
                },
            ]
        },
        "panels": [
            {
                "id": number + 1,
                "type": "timeseries",
                "title": panel.title,
                "datasource": source,
                "gridPos": {"x": number % 3 * WIDTH, "y": number // 3 * HEIGHT, "w": WIDTH, "h": HEIGHT},
                "fieldConfig": {
                    "defaults": {"unit": panel.unit, "min": 0, "custom": {"lineWidth": 1, "fillOpacity": 10}},
                    "overrides": [],
                },
                "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
                "targets": [
                    {
                        "refId": "A",
                        "datasource": source,
                        "expr": panel.query,
                        "legendFormat": panel.legend,
                        "range": True,
                    }
                ],
            }
            for number, panel in enumerate(panels)
        ],
    }


def text(name: str) -> str:
    """The file of a dashboard."""
    return json.dumps(dashboard(name), indent=1) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for dashboard_name in DASHBOARDS:
        (FOLDER / f"{dashboard_name}.json").write_text(text(dashboard_name))
