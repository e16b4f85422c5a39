"""The pipeline with the real services of this release, in one process: late instances and echoed results."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydicom.uid import Comprehensive3DSRStorage

from imaging.client.storage import StorageClient, Upload
from imaging.pipeline.v1 import pipeline_pb2
from imaging.reporting.v1 import reporting_service_pb2, reporting_service_pb2_grpc
from imaging.rpc.channel import open_channel
from imaging.settings import load_settings
from imaging.storage.v1 import storage_pb2
from tests.ct_series import ct_series
from tests.pipeline.pipeline_client import PipelineClient


@dataclass(slots=True)
class Installation:
    """All services of one data folder."""

    storage: StorageClient
    pipeline: PipelineClient
    reporting: Any

    async def store(self, contents: dict[str, bytes]) -> None:
        """Sends instances in, as from outside."""
        async for result in self.storage.store([Upload(uid, content) for uid, content in contents.items()]):
            assert result.error is None, result.error


@asynccontextmanager
async def installation(folder: Path) -> AsyncIterator[Installation]:
    """Every service, on free ports."""
    addresses = {f"{name}.address": "127.0.0.1:0" for name in ("storage", "processing", "analysis", "reporting")}
    # The quiet time is long: what completes a study here is CompleteStudy alone.
    overrides: dict[str, Any] = {
        "data_dir": folder,
        "pipeline.address": "127.0.0.1:0",
        "storage.quiet_time_seconds": 600,
    }
    async with AsyncExitStack() as stack:
        for name in ("storage", "processing", "analysis", "reporting"):
            settings = load_settings(env={}, overrides=overrides | addresses)
            service = importlib.import_module(f"{name}_svc.service").build(settings)
            addresses[f"{name}.address"] = f"127.0.0.1:{await service.start()}"
            stack.push_async_callback(service.stop, timedelta(seconds=5))
        settings = load_settings(env={}, overrides=overrides | addresses)
        pipeline = await PipelineClient.start(importlib.import_module("pipeline_svc.service").build(settings))
        stack.push_async_callback(pipeline.stop)
        channels = [open_channel(addresses[f"{name}.address"]) for name in ("storage", "reporting")]
        for channel in channels:
            stack.push_async_callback(channel.close)
        storage = StorageClient(channels[0])
        stack.push_async_callback(storage.close)
        yield Installation(storage, pipeline, reporting_service_pb2_grpc.ReportingServiceStub(channels[1]))


async def test_a_late_instance_supersedes_and_an_echoed_result_starts_nothing(tmp_path: Path) -> None:
    first = ct_series("late", slices=6)
    late = ct_series("late", slices=1, first_slice=6)
    async with installation(tmp_path) as services:
        await services.store(first.instances)
        await services.storage.complete_study(first.study)
        older = await services.pipeline.ended_run_of(first.study, 1)
        assert (older.state, older.recipe) == (pipeline_pb2.STATE_SUCCEEDED, "ct-general"), older.reason

        await services.store(late.instances)
        await services.storage.complete_study(first.study)
        newer = await services.pipeline.ended_run_of(first.study, 2)
        assert newer.state == pipeline_pb2.STATE_SUCCEEDED, newer.reason
        checks = {check.sop_class_uid: check for stage in newer.stages for check in stage.checks}
        assert sum(check.object_count for check in checks.values()) == sum(len(stage.outputs) for stage in newer.stages)
        assert checks[Comprehensive3DSRStorage].compared["template"] > 10
        older = await services.pipeline.run_of(first.study, 1)
        assert older.superseded_by == newer.name
        report = (await services.reporting.GetReport(reporting_service_pb2.GetReportRequest(name=newer.report))).report
        assert (report.version, report.predecessor) == (2, older.report)

        derived = {
            instance.sop_instance_uid: content
            async for instance, content in services.storage.retrieve_instances(first.study)
            if instance.origin.kind == storage_pb2.Origin.KIND_DERIVED
        }
        assert derived
        await services.store(derived)
        assert (await services.storage.complete_study(first.study)).version == 2
        assert len(await services.pipeline.runs()) == 2
