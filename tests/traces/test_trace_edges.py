"""One trace a manifest version, over all hops, as a collector sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging.client.storage import StorageClient, Upload
from imaging.pipeline.v1 import pipeline_pb2
from imaging.rpc.channel import open_channel
from imaging.settings import SERVICE_NAMES
from tests.ct_series import ct_series
from tests.installation.running import running_installation
from tests.kill.history import CompletionEntry, History
from tests.kill.invariants import read_state, wait_for_runs
from tests.kill.scenario import recipes_folder
from tests.traces.otlp_receiver import otlp_receiver

EDGES = {
    ("imaging-storage", "imaging-pipeline"),
    ("imaging-pipeline", "imaging-storage"),
    ("imaging-pipeline", "imaging-processing"),
    ("imaging-pipeline", "imaging-analysis"),
    ("imaging-pipeline", "imaging-reporting"),
    ("imaging-processing", "imaging-storage"),
    ("imaging-analysis", "imaging-storage"),
    ("imaging-reporting", "imaging-storage"),
    ("imaging-reporting", "imaging-analysis"),
}


@pytest.mark.integration
@pytest.mark.timeout(180)
async def test_every_pair_of_services_that_talk_has_a_parent_and_child_span(tmp_path: Path) -> None:
    async with otlp_receiver() as receiver:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_LOGS_EXPORTER": "otlp",
            "IMAGING_PIPELINE_RECIPES_DIR": str(recipes_folder(tmp_path)),
        }
        with running_installation(tmp_path / "data", env) as installation:
            sent = ct_series("traced", slices=5)
            history = History()
            async with open_channel(installation.endpoints["storage"]) as channel:
                client = StorageClient(channel)
                uploads = [Upload(uid, content) for uid, content in sent.instances.items()]
                assert all([result.error is None async for result in client.store(uploads)])
                manifest = await client.complete_study(sent.study, list(sent.instances))
            entry = CompletionEntry(0, sent.study, manifest.version, frozenset(sent.instances))
            history.completions.append(entry)
            assert not await wait_for_runs(installation.endpoints["pipeline"], history, 60)
            state = await read_state(installation.endpoints)
            missing = await receiver.wait_for_edges(EDGES, 15)
        assert not missing
        (run,) = state.runs
        assert run.state == pipeline_pb2.STATE_SUCCEEDED
        (manifest_span,) = [span for span in receiver.spans if span.name == "manifest"]
        assert run.trace_id == manifest_span.trace_id == manifest.traceparent.split("-")[1]
        uploads_seen = {span.trace_id for span in receiver.spans if span.name.endswith("/StoreInstances")}
        assert set(manifest_span.links) & uploads_seen, "the manifest is linked to its uploads"
        of_run = {span.service for span in receiver.spans if span.trace_id == run.trace_id}
        assert of_run == {service for edge in EDGES for service in edge}
        assert {line.service for line in receiver.lines} == {f"imaging-{name}" for name in SERVICE_NAMES}
        told = " ".join(f"{span.name} {span.attributes}" for span in receiver.spans)
        told += " ".join(line.body for line in receiver.lines)
        assert "Round^" not in told
        assert "ID-traced" not in told
