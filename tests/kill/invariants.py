"""The invariants that must hold after services were killed, each a function from history and state to violations.

I1: every acknowledged upload is retrievable bit-exact. I2: a failed one is absent or complete, never partial. I3: one
row a UID. I4: every complete manifest has exactly one effect of each stage. I5: every object can be read and verifies.
I6: a watcher of the change log misses nothing and gets nothing twice (`followed_changes.py`). I7: peak memory stays
under its limit. I8: every service is back in time, and everything ends without help. I9: no untyped error reached a
client. I10: each run belongs to the trace of its manifest version (that the uploads are linked to it is asserted on the
wire, in `tests/traces`).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from imaging.analysis.v1 import analysis_pb2, analysis_service_pb2, analysis_service_pb2_grpc
from imaging.client.storage import StorageClient
from imaging.errors import ImagingError
from imaging.pipeline.v1 import pipeline_pb2, pipeline_service_pb2, pipeline_service_pb2_grpc
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2, reporting_service_pb2_grpc
from imaging.rpc.channel import open_channel
from imaging.storage.v1 import storage_pb2
from tests.kill.history import History

RECOVERY_LIMIT_SECONDS = 30

MEMORY_LIMIT_BYTES = 1024**3
"""For each service, with the small images of this test; most of it is numpy, scipy and their threads."""

ENDED = (pipeline_pb2.STATE_SUCCEEDED, pipeline_pb2.STATE_FAILED, pipeline_pb2.STATE_CANCELLED)


@dataclass(slots=True)
class State:
    """What is stored after the test."""

    objects: dict[str, bytes] = field(default_factory=dict)
    """Bytes by SOP Instance UID."""

    instances: list[storage_pb2.Instance] = field(default_factory=list)
    runs: list[pipeline_pb2.Run] = field(default_factory=list)
    findings: list[analysis_pb2.Finding] = field(default_factory=list)
    reports: list[reporting_pb2.Report] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


async def wait_for_runs(pipeline: str, history: History, seconds: float) -> list[str]:
    """Wait until every manifest that a client was told of has a run that ended; what is missing, after `seconds`."""
    async with open_channel(pipeline) as channel:
        stub = pipeline_service_pb2_grpc.PipelineServiceStub(channel)
        missing = ["nothing was looked at"]
        for _ in range(int(seconds * 2)):
            try:
                runs = [run async for run in _runs(stub)]
            except ImagingError:
                runs = []
            except Exception:  # noqa: BLE001 - the service may still be starting
                runs = []
            state = {(run.study, run.manifest_version): run.state for run in runs}
            missing = [
                f"I8/I4: {entry.study} manifest {entry.manifest_version}: "
                + ("no run" if (entry.study, entry.manifest_version) not in state else "its run did not end")
                for entry in history.completions
                if state.get((entry.study, entry.manifest_version)) not in ENDED
            ]
            if runs and not missing and all(run.state in ENDED for run in runs):
                return []
            await asyncio.sleep(0.5)
        return missing


async def read_state(endpoints: dict[str, str]) -> State:
    """Everything that the services hold, read through their APIs."""
    state = await read_stored(endpoints["storage"])
    async with (
        open_channel(endpoints["pipeline"]) as pipeline_channel,
        open_channel(endpoints["analysis"]) as analysis_channel,
        open_channel(endpoints["reporting"]) as reporting_channel,
    ):
        pipeline = pipeline_service_pb2_grpc.PipelineServiceStub(pipeline_channel)
        state.runs = [run async for run in _runs(pipeline)]
        analysis = analysis_service_pb2_grpc.AnalysisServiceStub(analysis_channel)
        token = ""
        while True:
            findings = await analysis.ListFindings(
                analysis_service_pb2.ListFindingsRequest(page_size=1000, page_token=token)
            )
            state.findings.extend(findings.findings)
            token = findings.next_page_token
            if not token:
                break
        reporting = reporting_service_pb2_grpc.ReportingServiceStub(reporting_channel)
        while True:
            reports = await reporting.ListReports(
                reporting_service_pb2.ListReportsRequest(page_size=1000, page_token=token)
            )
            state.reports.extend(reports.reports)
            token = reports.next_page_token
            if not token:
                break
    return state


async def read_stored(storage: str) -> State:
    """Everything that the storage service holds; each object as it is retrieved."""
    state = State()
    async with open_channel(storage) as channel:
        client = StorageClient(channel)
        async for instance in client.search_instances():
            state.instances.append(instance)
            try:
                async for _, content in client.retrieve_instances(instance.name):
                    state.objects[instance.sop_instance_uid] = content
            except ImagingError as error:
                state.unreadable.append(f"I5: {instance.name}: {error.reason}")
    return state


def violations(history: History, state: State) -> list[str]:
    """Every broken invariant, as a sentence."""
    return [*violations_of_storage(history, state), *_one_effect_a_stage(history, state)]


def violations_of_storage(history: History, state: State) -> list[str]:
    """Every broken invariant of what storage keeps, as a sentence."""
    return [
        *_acknowledged_is_there(history, state),
        *_failed_is_whole_or_absent(history, state),
        *_one_row_a_uid(state),
        *state.unreadable,
        *_services_fare_well(history),
        *(f"I9: {told}" for told in history.untyped),
    ]


def _acknowledged_is_there(history: History, state: State) -> Iterator[str]:
    for entry in history.uploads:
        if entry.told == "stored":
            kept = state.objects.get(entry.sop_instance_uid)
            if kept is None:
                yield f"I1: {entry.sop_instance_uid} was acknowledged at {entry.seconds:.1f} s and is not there"
            elif kept != entry.content:
                yield f"I1: {entry.sop_instance_uid} was acknowledged and is not bit-exact"


def _failed_is_whole_or_absent(history: History, state: State) -> Iterator[str]:
    for entry in history.uploads:
        kept = state.objects.get(entry.sop_instance_uid)
        if entry.told == "failed" and kept is not None and kept != entry.content:
            yield f"I2: {entry.sop_instance_uid} failed and is there in part"


def _one_row_a_uid(state: State) -> Iterator[str]:
    for uid, count in Counter(item.sop_instance_uid for item in state.instances).items():
        if count > 1:
            yield f"I3: {uid} has {count} rows"


def _services_fare_well(history: History) -> Iterator[str]:
    for service in sorted({name for _, name in history.kills}):
        last_kill = max(seconds for seconds, name in history.kills if name == service)
        back = [one for one in history.recoveries if one.service == service]
        if not any(one.killed_at_seconds == last_kill for one in back):
            yield f"I8: {service} did not serve again after it was killed at {last_kill:.1f} s"
        for one in back:
            if one.took_seconds > RECOVERY_LIMIT_SECONDS:
                yield f"I8: {service} took {one.took_seconds:.0f} s to serve again"
    for service, size in history.peak_bytes.items():
        if size > MEMORY_LIMIT_BYTES:
            yield f"I7: {service} had {size // 1024**2} MiB of memory"


def _one_effect_a_stage(history: History, state: State) -> Iterator[str]:
    runs = defaultdict(list)
    for run in state.runs:
        runs[run.study, run.manifest_version].append(run)
    derived = defaultdict(list)
    for item in state.instances:
        if item.origin.kind == storage_pb2.Origin.KIND_DERIVED:
            derived[item.origin.run, item.origin.stage].append(item)
    for entry in history.completions:
        of_manifest = runs.get((entry.study, entry.manifest_version), [])
        if len(of_manifest) != 1:
            yield f"I4: {entry.study} manifest {entry.manifest_version} has {len(of_manifest)} runs"
            continue
        if entry.trace_id and of_manifest[0].trace_id != entry.trace_id:
            yield f"I10: {of_manifest[0].name} is not in the trace of {entry.study} manifest {entry.manifest_version}"
        yield from _effects(of_manifest[0], derived, state)


def _effects(
    run: pipeline_pb2.Run, derived: dict[tuple[str, str], list[storage_pb2.Instance]], state: State
) -> Iterator[str]:
    if run.state != pipeline_pb2.STATE_SUCCEEDED:
        yield f"I4: {run.name} is {pipeline_pb2.State.Name(run.state)}: {run.reason} {[s.error for s in run.stages]}"
        return
    for stage in run.stages:
        made = derived.get((run.name, stage.name), [])
        listed = {name.rpartition("/")[2] for name in stage.outputs if "/instances/" in name}
        stored = {item.sop_instance_uid for item in made}
        if stored != listed:
            yield f"I4: {run.name} {stage.name} lists {len(listed)} outputs, {len(stored)} are stored"
        if stage.kind == "process" and len({item.series_instance_uid for item in made}) > 1:
            yield f"I4: {run.name} {stage.name} has made more than one series"
        of_stage = [finding for finding in state.findings if finding.request_id == stage.request_id]
        if len(of_stage) != stage.finding_count and stage.kind == "analyze":
            yield f"I4: {run.name} {stage.name} tells {stage.finding_count} findings, {len(of_stage)} are stored"
        if stage.kind == "report":
            reports = [report for report in state.reports if report.run == run.name]
            if len(reports) != 1:
                yield f"I4: {run.name} has {len(reports)} reports"


async def _runs(stub: pipeline_service_pb2_grpc.PipelineServiceAsyncStub) -> AsyncIterator[pipeline_pb2.Run]:
    token = ""
    while True:
        page = await stub.ListRuns(pipeline_service_pb2.ListRunsRequest(page_size=1000, page_token=token))
        for run in page.runs:
            yield run
        token = page.next_page_token
        if not token:
            return
