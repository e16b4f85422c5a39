"""Alerts on their way to webhooks: signed, tried again for as long as the settings say, then left for a person."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx

from imaging.errors import ImagingError, NotFound
from imaging.pipeline.v1 import pipeline_pb2
from imaging.settings.security_files import check_trusted_certificates, read_secret
from imaging.settings.webhook import Webhook
from pipeline_svc.alerts.alert_table import AlertTable
from pipeline_svc.alerts.signature import signed_headers

if TYPE_CHECKING:
    from imaging.client.storage import StorageClient

_log = logging.getLogger(__name__)
_BUSY_FOR: Final = timedelta(minutes=2)
_ANSWER_SECONDS: Final = 15.0
_GONE: Final = 410


def check_webhooks(webhooks: Mapping[str, Webhook]) -> None:
    """Pass if the files that webhooks name can be used: told when the service starts, not when an alert is raised.

    Raises
    ------
    SettingsInvalid
        If one is missing or no good, or others can read a secret.
    """
    for key, webhook in webhooks.items():
        _secret(key, webhook)
        if webhook.ca_file is not None:
            check_trusted_certificates(webhook.ca_file, f"pipeline.webhooks.{key}.ca_file")


class WebhookDelivery:
    """Tells alerts. Each replica takes what is due; what one is at, the others leave."""

    def __init__(
        self, alerts: AlertTable, webhooks: Mapping[str, Webhook], storage: StorageClient, look_every: timedelta
    ) -> None:
        self._alerts = alerts
        self._webhooks = webhooks
        self._storage = storage
        self._look_every_s = look_every.total_seconds()

    async def run(self) -> None:
        """Tell what is due, until cancelled."""
        while True:
            try:
                while due := await self._alerts.take_due(_BUSY_FOR):
                    try:
                        await asyncio.gather(*(self._tell(alert, webhook) for alert, webhook in due))
                    except asyncio.CancelledError:
                        await self._alerts.put_back(due)
                        raise
            except ImagingError as error:
                _log.warning("alerts cannot be told now", extra={"error": error.text})
            except Exception:  # noqa: BLE001 - one that meets a defect must not keep all others from being told
                _log.exception("alerts met a defect")
            await asyncio.sleep(self._look_every_s)

    async def _tell(self, alert: pipeline_pb2.Alert, name: str) -> None:
        webhook = self._webhooks.get(name)
        if webhook is None:
            await self._alerts.told(alert.name, name, "The settings name no such webhook", is_final=True)
            return
        error, is_final = await self._post(alert, name, webhook)
        await self._alerts.told(alert.name, name, error, is_final=is_final)
        if error:
            _log.warning("an alert was not taken", extra={"alert": alert.name, "webhook": name, "error": error})

    async def _post(self, alert: pipeline_pb2.Alert, name: str, webhook: Webhook) -> tuple[str, bool]:
        """Why it was not taken (empty: it was), and whether it would not be again."""
        try:
            body = json.dumps(await self._content(alert, webhook), ensure_ascii=False, separators=(",", ":")).encode()
            headers = signed_headers(_secret(name, webhook), alert.name.replace("/", "_"), int(time.time()), body)
            async with httpx.AsyncClient(
                verify=ssl.create_default_context(cafile=webhook.ca_file), timeout=_ANSWER_SECONDS, trust_env=False
            ) as client:
                request = client.build_request(
                    "POST", webhook.url, content=body, headers={**headers, "content-type": "application/json"}
                )
                answer = await client.send(request, stream=True)  # what it says besides is not read
                await answer.aclose()
        except httpx.HTTPError as error:
            return f"It does not answer ({type(error).__name__})", False
        except (ImagingError, OSError) as error:
            return str(error), False
        if answer.is_success:
            return "", False
        return f"It answers with HTTP {answer.status_code}", answer.status_code == _GONE

    async def _content(self, alert: pipeline_pb2.Alert, webhook: Webhook) -> dict[str, Any]:
        content: dict[str, Any] = {
            "type": "alert.raised",
            "alert": alert.name,
            "rule": alert.rule,
            "severity": pipeline_pb2.Alert.Severity.Name(alert.severity).removeprefix("SEVERITY_").lower(),
            "study": alert.study,
            "run": alert.run,
            "finding": alert.finding,
            "concept": {"value": alert.concept.value, "scheme": alert.concept.scheme, "meaning": alert.concept.meaning},
            "value": alert.value,
            "unit": alert.unit,
            "condition": alert.condition,
            "raised": alert.create_time.ToDatetime(UTC).isoformat(),
        }
        if webhook.include:
            try:
                study = await self._storage.get_study(alert.study)
            except NotFound:
                content["patient"] = None  # deleted since
            else:
                content["patient"] = {key: getattr(study, key) for key in sorted(webhook.include)}
        return content


def _secret(key: str, webhook: Webhook) -> str:
    return read_secret(webhook.secret_file, f"pipeline.webhooks.{key}.secret_file = {webhook.secret_file}")
