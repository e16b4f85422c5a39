"""Every service serves its metrics: calls, work, stores; nothing of a patient in them."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from imaging.errors import SettingsInvalid, Unavailable
from imaging.settings import SERVICE_NAMES, load_settings
from imaging.telemetry.metrics_export import export_metrics
from tests.metrics.watched import PATIENT, Watched

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

STORED = 'imaging_storage_instances_total{outcome="stored"}'


def _value(text: str, sample: str) -> float:
    found = [line for line in text.splitlines() if line.startswith(sample)]
    assert len(found) == 1, f"{sample} is {len(found)} times in:\n{text}"
    return float(found[0].rpartition(" ")[2])


def _samples(text: str, metric: str, **labels: str) -> list[float]:
    wanted = [f'{name}="{value}"' for name, value in labels.items()]
    lines = [line for line in text.splitlines() if re.match(rf"{metric}(\{{|\s)", line)]
    return [float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in wanted)]


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_each_service_tells_its_calls_and_its_process(watched: Watched, service: str) -> None:
    text = watched.scrape(service)
    assert sum(_samples(text, "rpc_server_call_duration_seconds_count", rpc_response_status_code="OK")) > 0
    assert _value(text, "process_resident_memory_bytes") > 1e6
    assert f'service_name="imaging-{service}"' in text


def test_storage_tells_what_it_took_in_refused_and_gave_out(watched: Watched) -> None:
    text = watched.scrape("storage")
    assert _value(text, STORED) >= 6, "five slices, the compressed image, and what the run made of them"
    assert _samples(text, "imaging_storage_instances_total", outcome="rejected_truncated_dicom") == [1]
    assert sum(_samples(text, "imaging_storage_received_bytes_total", outcome="stored")) > 5 * 64 * 64 * 2
    assert sum(_samples(text, "imaging_storage_sent_bytes_total", kind="frames")) > 0
    assert _value(text, "imaging_storage_in_flight_bytes") == 0
    assert _value(text, "imaging_storage_in_flight_limit_bytes") == 64 * 1024 * 1024
    assert _value(text, "imaging_codecs_workers_limit") >= 1
    assert 0 < _value(text, "imaging_data_free_bytes") < _value(text, "imaging_data_size_bytes")
    assert sum(_samples(text, "imaging_objectstore_operation_duration_seconds_count", operation="put")) >= 6


@pytest.mark.parametrize("service", ["storage", "analysis", "reporting", "pipeline"])
def test_reads_and_writes_of_the_database_are_timed(watched: Watched, service: str) -> None:
    text = watched.scrape(service)
    name = "imaging_database_operation_duration_seconds_count"
    assert sum(_samples(text, name, operation="write", outcome="ok", database="sqlite")) >= 1
    assert sum(_samples(text, name, operation="read")) >= 1


def test_an_error_is_counted_under_its_status_code_and_method(watched: Watched) -> None:
    text = watched.scrape("storage")
    method = "imaging.storage.v1.StorageService/GetStudy"
    codes = {"rpc_method": method, "rpc_response_status_code": "NOT_FOUND", "rpc_kind": "unary"}
    assert _samples(text, "rpc_server_call_duration_seconds_count", **codes) == [1]


def test_a_watch_is_an_active_call_and_no_finished_one(watched: Watched) -> None:
    text = watched.scrape("storage")
    method = "imaging.storage.v1.StorageService/WatchChanges"
    assert _samples(text, "rpc_server_active_requests", rpc_method=method) == [1]
    assert not _samples(text, "rpc_server_call_duration_seconds_count", rpc_method=method)


def test_the_pipeline_tells_runs_by_state_and_the_age_of_the_oldest(watched: Watched) -> None:
    text = watched.scrape("pipeline")
    states = {"pending", "running", "succeeded", "failed", "cancelled", "skipped"}
    told = {state: _samples(text, "imaging_pipeline_runs", state=state) for state in states}
    assert all(len(values) == 1 for values in told.values())
    assert _value(text, "imaging_pipeline_oldest_unfinished_run_age_seconds") >= 0


@pytest.mark.parametrize("service", ["processing", "analysis", "reporting"])
def test_work_of_a_stage_is_timed(watched: Watched, service: str) -> None:
    text = watched.scrape(service)
    assert sum(_samples(text, "imaging_work_duration_seconds_count", outcome="ok")) >= 1
    assert _value(text, "imaging_work_running") == 0


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_no_patient_and_no_uid_is_in_the_metrics(watched: Watched, service: str) -> None:
    text = watched.scrape(service)
    assert PATIENT not in text
    assert PATIENT.partition("^")[0] not in text
    assert not re.search(r"\d+(\.\d+){4,}", text)


def test_services_take_ports_in_a_row() -> None:
    settings = load_settings(env={}, overrides={"telemetry.metrics_address": "127.0.0.1:9464"})
    assert settings.metrics_address("storage") == "127.0.0.1:9464"
    assert settings.metrics_address("analysis") == "127.0.0.1:9466"
    free = load_settings(env={}, overrides={"telemetry.metrics_address": "[::1]:0"})
    assert free.metrics_address("analysis") == "[::1]:0"
    assert load_settings(env={}).metrics_address("analysis") == ""


def test_a_taken_port_is_told_with_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable, match=rf"cannot be served.*telemetry\.metrics_address, {address}"):
            export_metrics("storage", address)


def test_another_protocol_than_grpc_is_refused_for_metrics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with pytest.raises(SettingsInvalid, match="Metrics leave by OTLP over gRPC"):
        export_metrics("storage")
