"""Alerts: list them, follow them as they come, say that they were seen, tell them anew to webhooks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

import grpc

from imaging.client.patience import Attempts, Patience
from imaging.client.results import Study
from imaging.client.run_results import Code
from imaging.errors import ImagingError
from imaging.pipeline.v1 import pipeline_pb2, pipeline_service_pb2_grpc
from imaging.pipeline.v1 import pipeline_service_pb2 as pb
from imaging.rpc.enum_word import enum_word
from imaging.rpc.status import domain_errors

Severity = Literal["UNSPECIFIED", "LOW", "MEDIUM", "HIGH"]
DeliveryState = Literal["UNSPECIFIED", "PENDING", "DELIVERED", "GIVEN_UP"]


@dataclass(frozen=True, slots=True)
class AlertDelivery:
    """An alert on its way to a webhook."""

    webhook: str
    state: DeliveryState
    attempts: int
    error: str
    next_try: datetime | None


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding that a rule of a recipe wants somebody to see soon."""

    name: str
    """`alerts/{id}`."""

    revision: int
    rule: str
    severity: Severity
    run: str
    study: str
    finding: str
    concept: Code
    value: float
    unit: str
    condition: str
    raised: datetime
    acknowledged: datetime | None
    """None: nobody has seen it yet."""

    deliveries: tuple[AlertDelivery, ...]


class AsyncAlerts:
    """The alerts of an installation."""

    def __init__(self, channel: grpc.aio.Channel, patience: Patience) -> None:
        self._stub: pipeline_service_pb2_grpc.PipelineServiceAsyncStub = pipeline_service_pb2_grpc.PipelineServiceStub(
            channel
        )
        self._patience = patience

    async def list(self, study: str | Study = "", *, only_open: bool = False) -> tuple[Alert, ...]:
        """Alerts, newest first; of one study or all, or only those that nobody has acknowledged."""
        name = study.name if isinstance(study, Study) else study
        request = pb.ListAlertsRequest(study=name, open=only_open, page_size=1000)
        found: list[Alert] = []
        while True:
            with domain_errors("pipeline"):
                page = await self._stub.ListAlerts(request)
            found += map(_alert, page.alerts)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return tuple(found)

    async def watch(self, start_revision: int = 0) -> AsyncGenerator[Alert]:
        """Alerts as they are raised, without end; from a revision on, or (0) from now on."""
        attempts = Attempts(self._patience)
        request = pb.WatchAlertsRequest(start_revision=start_revision)
        while True:
            call = self._stub.WatchAlerts(request)
            try:
                with domain_errors("pipeline"):
                    async for answer in call:
                        attempts.succeed()
                        request.start_revision = answer.alert.revision + 1
                        yield _alert(answer.alert)
            except ImagingError as error:
                await attempts.fail(error)
            finally:
                call.cancel()

    async def acknowledge(self, alert: str | Alert) -> Alert:
        """Say that somebody has seen it."""
        with domain_errors(_name(alert)):
            answer = await self._stub.AcknowledgeAlert(pb.AcknowledgeAlertRequest(name=_name(alert)))
        return _alert(answer.alert)

    async def redeliver(self, alert: str | Alert) -> Alert:
        """Tell it anew to the webhooks that have not taken it."""
        with domain_errors(_name(alert)):
            answer = await self._stub.RedeliverAlert(pb.RedeliverAlertRequest(name=_name(alert)))
        return _alert(answer.alert)


def _name(alert: str | Alert) -> str:
    name = alert if isinstance(alert, str) else alert.name
    return name if "/" in name else f"alerts/{name}"


def _alert(found: pipeline_pb2.Alert) -> Alert:
    concept = found.concept
    return Alert(
        name=found.name,
        revision=found.revision,
        rule=found.rule,
        severity=cast("Severity", enum_word(pipeline_pb2.Alert.Severity, found.severity, "SEVERITY_")),
        run=found.run,
        study=found.study,
        finding=found.finding,
        concept=Code(concept.value, concept.scheme, concept.meaning),
        value=found.value,
        unit=found.unit,
        condition=found.condition,
        raised=found.create_time.ToDatetime(UTC),
        acknowledged=found.acknowledge_time.ToDatetime(UTC) if found.HasField("acknowledge_time") else None,
        deliveries=tuple(map(_delivery, found.deliveries)),
    )


def _delivery(found: pipeline_pb2.AlertDelivery) -> AlertDelivery:
    return AlertDelivery(
        webhook=found.webhook,
        state=cast("DeliveryState", enum_word(pipeline_pb2.AlertDelivery.State, found.state, "STATE_")),
        attempts=found.attempts,
        error=found.error,
        next_try=found.next_try_time.ToDatetime(UTC) if found.HasField("next_try_time") else None,
    )
