"""Alerts: raised once, told to a real HTTP receiver with a signature that it can check, tried again, never lost."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from imaging.analysis.v1 import analysis_pb2
from imaging.client.alerts import Alert, AsyncAlerts
from imaging.client.patience import Patience
from imaging.database import Database
from imaging.errors import FailedPrecondition, Internal, NotFound, SettingsInvalid, Unavailable
from imaging.pipeline.v1 import pipeline_pb2
from imaging.rpc.channel import open_channel
from imaging.settings import load_settings
from imaging.stage.v1.stage_pb2 import Code
from pipeline_svc.alerts.alert_table import AlertTable, TellAgain
from pipeline_svc.alerts.rules import alerts_of
from pipeline_svc.alerts.signature import signing_key
from pipeline_svc.alerts.webhooks import check_webhooks
from pipeline_svc.recipe import AlertRule
from pipeline_svc.schema import TABLES
from tests.database.databases import Databases
from tests.pipeline.pipeline_client import PipelineClient, Start
from tests.pipeline.scripted_services import Scripted
from tests.pipeline.scripted_stages import refuse_with

DOCUMENT = Path(__file__).parents[2] / "docs" / "alerts.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STUDY = "studies/1.2"

RECIPE = """\
name: ct-alerts
version: 1
match: {Modality: CT}
stages:
  - {analyze: image-statistics}
  - {report: quantitative}
alerts:
  - {alert: extensive-emphysema, finding: LAA-950, above: 25, unit: "%", severity: high}
"""


def finding(value: float | None = 31.5, unit: str = "%", **more: Any) -> analysis_pb2.Finding:
    concept = Code(value="LAA-950", scheme="99IMAGING", meaning="Low attenuation area")
    found = analysis_pb2.Finding(name="findings/7", concept=concept, unit=Code(value=unit, scheme="UCUM"), **more)
    if value is not None:
        found.value = value
    return found


@dataclass
class Receiver:
    """A web server that takes alerts, or not."""

    answers: list[int] = field(default_factory=list)
    """Status of the next answers; 200 when there are none left."""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@contextmanager
def receiving(receiver: Receiver, port: int = 0) -> Iterator[Receiver]:
    """The receiver on a port of its own, or the one given."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/alerts"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Settings of a pipeline with the recipe above and a webhook."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "alerts.yaml").write_text(RECIPE)
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)

    def settings(receiver: Receiver, **more: Any) -> dict[str, Any]:
        webhook = {"url": receiver.url, "secret_file": secret, **more}
        return {"recipes_dir": tmp_path / "recipes", "webhooks": {"ward": webhook}, "webhook_again_seconds": 0.05}

    return settings


async def run_once(pipeline: PipelineClient, scripted: Scripted, *found: analysis_pb2.Finding) -> Any:
    scripted.stages.findings = list(found)
    scripted.storage.complete(STUDY)
    study = scripted.storage.studies[STUDY]
    study.patient_name, study.patient_id, study.accession_number = "Secret^Name", "ID-4711", "A-1"
    return await pipeline.ended_run_of(STUDY, study.manifest.version)


async def delivered(pipeline: PipelineClient, state: int = pipeline_pb2.AlertDelivery.STATE_DELIVERED) -> Any:
    """The one alert, once its delivery is in that state."""
    async with asyncio.timeout(30):
        while True:
            alerts = (await pipeline.call("ListAlerts")).alerts
            if alerts and alerts[0].deliveries and alerts[0].deliveries[0].state == state:
                (alert,) = alerts
                return alert
            await asyncio.sleep(0.02)


def verify() -> Callable[..., Any]:
    """The function that the document gives to receivers."""
    (code,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["verified_alert"]  # type: ignore[no-any-return]


async def test_a_finding_over_its_limit_is_told_signed_and_without_patient_data(
    scripted: Scripted, start_pipeline: Start, own: Callable[..., dict[str, Any]]
) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_pipeline(**own(receiver))
        scripted.stages.behaviour["quantitative"] = refuse_with(FailedPrecondition("no report today"))
        run = await run_once(pipeline, scripted, finding())
        assert run.state == pipeline_pb2.STATE_FAILED, "it does not wait for the report"
        alert = await delivered(pipeline)
        # Raised again, by a run that is taken up again, it is the same one.
        del scripted.stages.behaviour["quantitative"]
        await pipeline.call("RetryRun", name=run.name)
        while run.state != pipeline_pb2.STATE_SUCCEEDED:
            run = await pipeline.ended_run_of(STUDY, 1)
        assert await delivered(pipeline) == alert
    ((headers, body),) = receiver.got
    told = verify()(headers, body, SECRET)
    assert told == {
        "type": "alert.raised",
        "alert": alert.name,
        "rule": "extensive-emphysema",
        "severity": "high",
        "study": STUDY,
        "run": run.name,
        "finding": "findings/7",
        "concept": {"value": "LAA-950", "scheme": "99IMAGING", "meaning": "Low attenuation area"},
        "value": 31.5,
        "unit": "%",
        "condition": "above 25",
        "raised": told["raised"],
    }
    assert headers["webhook-id"] == alert.name.replace("/", "_")
    assert b"Secret" not in body
    assert b"4711" not in body
    for wrong in (body + b" ", body.replace(b"31.5", b"3.15")):
        with pytest.raises(ValueError, match="signature"):
            verify()(headers, wrong, SECRET)
    with pytest.raises(ValueError, match="signature"):
        verify()(headers, body, "whsec_" + "A" * 32)
    with pytest.raises(ValueError, match="old"):
        verify()({**headers, "webhook-timestamp": "1700000000"}, body, SECRET)


async def test_what_the_settings_include_is_told_and_nothing_else(
    scripted: Scripted, start_pipeline: Start, own: Callable[..., dict[str, Any]]
) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_pipeline(**own(receiver, include=["accession_number", "patient_id"]))
        await run_once(pipeline, scripted, finding())
        await delivered(pipeline)
    told = json.loads(receiver.got[0][1])
    assert told["patient"] == {"accession_number": "A-1", "patient_id": "ID-4711"}
    assert b"Secret" not in receiver.got[0][1]


async def test_a_receiver_that_fails_is_told_again_with_the_same_id(
    scripted: Scripted, start_pipeline: Start, own: Callable[..., dict[str, Any]]
) -> None:
    with receiving(Receiver(answers=[503, 500, 302])) as receiver:
        pipeline = await start_pipeline(**own(receiver))
        await run_once(pipeline, scripted, finding())
        alert = await delivered(pipeline)
    assert alert.deliveries[0].attempts == len(receiver.got) == 4
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1


async def test_one_that_is_gone_is_given_up_until_somebody_has_it_told_anew(
    scripted: Scripted, start_pipeline: Start, own: Callable[..., dict[str, Any]]
) -> None:
    with receiving(Receiver(answers=[410])) as receiver:
        pipeline = await start_pipeline(**own(receiver))
        await run_once(pipeline, scripted, finding())
        alert = await delivered(pipeline, pipeline_pb2.AlertDelivery.STATE_GIVEN_UP)
        assert "HTTP 410" in alert.deliveries[0].error
        await pipeline.call("RedeliverAlert", name=alert.name)
        alert = await delivered(pipeline)
        assert (alert.deliveries[0].attempts, alert.deliveries[0].error) == (1, "")
        await pipeline.call("RedeliverAlert", name=alert.name)
        await asyncio.sleep(0.2)
    assert len(receiver.got) == 2


async def test_a_finding_is_told_though_a_later_analysis_fails(
    scripted: Scripted, start_pipeline: Start, own: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = RECIPE.replace("  - {report", "  - {analyze: lung-emphysema}\n  - {report")
    with receiving(Receiver()) as receiver:
        settings = own(receiver)
        (tmp_path / "recipes" / "alerts.yaml").write_text(recipe)
        pipeline = await start_pipeline(**settings)
        scripted.stages.behaviour["lung-emphysema"] = refuse_with(FailedPrecondition("no quality today"))
        run = await run_once(pipeline, scripted, finding())
        assert (run.state, "no quality today" in run.reason) == (pipeline_pb2.STATE_FAILED, True)
        await delivered(pipeline)
    assert len(receiver.got) == 1


async def test_a_run_whose_findings_cannot_be_read_fails_with_the_reason_and_can_be_retried(
    scripted: Scripted, start_pipeline: Start, own: Callable[..., dict[str, Any]]
) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_pipeline(**own(receiver))
        scripted.stages.list_errors = [Internal("the table met a defect")]
        run = await run_once(pipeline, scripted, finding())
        assert run.state == pipeline_pb2.STATE_FAILED
        assert "the findings cannot be read" in run.reason
        assert "the table met a defect" in run.reason
        await pipeline.call("RetryRun", name=run.name)
        while run.state != pipeline_pb2.STATE_SUCCEEDED:
            run = await pipeline.ended_run_of(STUDY, 1)
        await delivered(pipeline)
    assert set(scripted.stages.effects.values()) == {1}


async def test_findings_that_are_away_are_waited_for(
    scripted: Scripted, start_pipeline: Start, own: Callable[..., dict[str, Any]]
) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_pipeline(**own(receiver))
        scripted.stages.list_errors = [Unavailable("restarting")]
        run = await run_once(pipeline, scripted, finding())
        assert run.state == pipeline_pb2.STATE_SUCCEEDED, run.reason
        await delivered(pipeline)


async def test_an_alert_outlives_a_restart_while_its_receiver_is_away(
    scripted: Scripted, start_pipeline: Start, own: Callable[..., dict[str, Any]]
) -> None:
    with receiving(Receiver()) as receiver:
        port = int(receiver.url.split(":")[2].split("/")[0])
    pipeline = await start_pipeline(**own(receiver))
    await run_once(pipeline, scripted, finding())
    alert = await delivered(pipeline, pipeline_pb2.AlertDelivery.STATE_PENDING)
    pipeline = await start_pipeline(**own(receiver))
    with receiving(receiver, port):
        assert (await delivered(pipeline)).name == alert.name
    assert len(receiver.got) == 1


async def test_alerts_are_listed_watched_and_acknowledged_by_client_and_command(
    scripted: Scripted, start_pipeline: Start, own: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_pipeline(**own(receiver))
        address = pipeline.address
        async with open_channel(address) as channel:
            alerts = AsyncAlerts(channel, Patience())
            coming: asyncio.Task[Alert] = asyncio.create_task(anext(alerts.watch(1)))
            await run_once(pipeline, scripted, finding(), finding(12))
            alert = await asyncio.wait_for(coming, 30)
            assert (alert.rule, alert.severity, alert.value, alert.condition) == (
                "extensive-emphysema",
                "HIGH",
                31.5,
                "above 25",
            )
            await delivered(pipeline)
            assert [one.name for one in await alerts.list(STUDY, only_open=True)] == [alert.name]
            assert await alerts.list("studies/9") == ()
            seen = await alerts.acknowledge(alert)
            assert (await alerts.acknowledge(alert.name)).acknowledged == seen.acknowledged
            assert await alerts.list(only_open=True) == ()
            with pytest.raises(NotFound):
                await alerts.acknowledge("alerts/none")
        settings = tmp_path / "imaging.toml"
        settings.write_text(f'[pipeline]\naddress = "{address}"\n')

        async def imaging(*arguments: str) -> list[dict[str, Any]]:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "imaging", "alerts", *arguments, "--json", "--config", str(settings)),
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode == 0
            return [json.loads(line) for line in said.splitlines()]

        (listed,) = await imaging("list")
        assert (listed["name"], listed["deliveries"][0]["state"]) == (alert.name, "DELIVERED")
        assert await imaging("list", "--open") == []
        assert [one["name"] for one in await imaging("acknowledge", alert.name)] == [alert.name]
        assert [one["name"] for one in await imaging("redeliver", alert.name)] == [alert.name]


class OneRun:
    """What the rules look at of a run."""

    id, name, study = "1", "runs/1", STUDY


@pytest.mark.parametrize(
    ("rule", "found", "conditions"),
    [
        ({"finding": "laa-950", "above": 25}, finding(), ["above 25"]),
        ({"finding": "low attenuation*", "above": 25}, finding(), ["above 25"]),
        ({"finding": "Lesion 2", "below": 40}, finding(tracking_identifier="Lesion 2"), ["below 40"]),
        ({"finding": "LAA-950", "above": 31.5}, finding(), []),
        ({"finding": "LAA-950", "below": 10, "above": 30}, finding(), ["above 30"]),
        ({"finding": "LAA-950", "above": 25, "unit": "mL"}, finding(), []),
        ({"finding": "LAA-950", "above": 25, "model": "other"}, finding(model="lung-emphysema"), []),
        ({"finding": "LAA-950", "above": 25, "model": "lung-*"}, finding(model="lung-emphysema"), ["above 25"]),
        ({"finding": "other", "above": 25}, finding(), []),
        ({"finding": "LAA-950", "below": 25}, finding(None), []),
        ({"finding": "LAA-950", "above": 0}, finding(float("nan")), []),
    ],
)
def test_a_rule_means_what_it_says(rule: dict[str, Any], found: analysis_pb2.Finding, conditions: list[str]) -> None:
    run: Any = OneRun
    alerts = list(alerts_of(run, [AlertRule(alert="a", **rule)], [found]))
    assert [alert.condition for alert in alerts] == conditions
    assert alerts == list(alerts_of(run, [AlertRule(alert="a", **rule)], [found]))


async def test_waits_grow_until_a_delivery_is_given_up(databases: Databases, tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    database = Database.open(databases.access(tmp_path), TABLES)
    again = TellAgain(timedelta(seconds=5), timedelta(seconds=20), timedelta(minutes=1))
    table = AlertTable(database, ["ward"], again, clock=lambda: now)
    run: Any = OneRun
    rules = [AlertRule(alert="a", finding="*", above=1)]
    assert await table.raise_all(alerts_of(run, rules, [finding()])) == 1
    assert await table.raise_all(alerts_of(run, rules, [finding()])) == 0
    waits: list[float] = []
    while due := await table.take_due("ward", timedelta(minutes=2)):
        assert await table.take_due("ward", timedelta(minutes=2)) == []  # another replica keeps off
        await table.put_back("ward", due)  # this one ends
        assert await table.take_due("ward", timedelta(minutes=2)) == due
        (alert,) = due
        assert await table.take_due("ward", timedelta(minutes=2)) == []  # another replica keeps off
        await table.told(alert.name, "ward", "It does not answer")
        (delivery,) = (await table.get(alert.name)).deliveries
        if delivery.state == pipeline_pb2.AlertDelivery.STATE_PENDING:
            following = delivery.next_try_time.ToDatetime(UTC)
            waits.append((following - now).total_seconds())
            now = following
    assert waits == [5, 10, 20, 20]
    assert (delivery.state, delivery.attempts) == (pipeline_pb2.AlertDelivery.STATE_GIVEN_UP, 5)
    await table.redeliver(alert.name)
    assert [one.name for one in await table.take_due("ward", timedelta(minutes=2))] == [alert.name]
    await table.told(alert.name, "ward", "It does not answer")
    (delivery,) = (await table.get(alert.name)).deliveries
    assert delivery.next_try_time.ToDatetime(UTC) - now == timedelta(seconds=5), "told anew, it waits as at first"
    await database.close()


async def test_what_a_webhook_was_to_be_told_that_is_no_more_is_given_up(databases: Databases, tmp_path: Path) -> None:
    database = Database.open(databases.access(tmp_path), TABLES)
    run: Any = OneRun
    before, now = AlertTable(database, ["old", "ward"]), AlertTable(database, ["ward"])
    await before.raise_all(alerts_of(run, [AlertRule(alert="a", finding="*", above=1)], [finding()]))
    await now.give_up_strangers()
    (alert,) = await now.since(0)
    states = {delivery.webhook: (delivery.state, delivery.error) for delivery in alert.deliveries}
    assert states == {
        "old": (pipeline_pb2.AlertDelivery.STATE_GIVEN_UP, "The settings name no such webhook"),
        "ward": (pipeline_pb2.AlertDelivery.STATE_PENDING, ""),
    }
    await database.close()


@pytest.mark.parametrize(
    ("webhook", "words"),
    [
        ({"url": "http://ward.example.org/alerts"}, "https alone"),
        ({"url": "ward.example.org"}, "url"),
        ({"url": "https:///alerts"}, "no host"),
        ({"url": "https://xn--.example.org/"}, "no host"),
        ({"url": "https://ward..example.org/"}, "no host"),
        ({"url": "https://ward.example.org:99999/"}, "Port"),
        ({"url": "https://ward.example.org", "include": ["patient_birth_date"]}, "include"),
    ],
)
def test_a_webhook_that_would_leak_or_never_be_reached_is_refused(
    webhook: dict[str, Any], words: str, tmp_path: Path
) -> None:
    overrides = {"pipeline.webhooks": {"ward": {"secret_file": tmp_path / "secret", **webhook}}}
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(env={}, overrides=overrides)
    assert words in refused.value.text


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    overrides = {"pipeline.webhooks": {"ward": {"url": "https://ward.example.org", "secret_file": secret}}}
    with pytest.raises(SettingsInvalid, match="others"):
        check_webhooks(load_settings(env={}, overrides=overrides).pipeline.webhooks)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "no base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "no base64"),
        ("whsec_", "16 bytes"),
        ("", "16 bytes"),
        ("hunter2", "16 bytes"),
    ],
)
def test_a_secret_that_receivers_read_otherwise_or_somebody_can_guess_is_refused(
    text: str, words: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(text)
    secret.chmod(0o600)
    overrides = {"pipeline.webhooks": {"ward": {"url": "https://ward.example.org", "secret_file": secret}}}
    with pytest.raises(SettingsInvalid, match=words) as refused:
        check_webhooks(load_settings(env={}, overrides=overrides).pipeline.webhooks)
    assert "pipeline.webhooks.ward.secret_file" in refused.value.where
    assert text in ("", "whsec_") or text not in refused.value.text


def test_a_secret_is_base64_after_its_prefix_or_the_text_itself() -> None:
    assert signing_key(SECRET, "") == base64.b64decode(SECRET.removeprefix("whsec_"))
    assert signing_key("a text of some length", "") == b"a text of some length"
