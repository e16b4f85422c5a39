"""Alerts on their way to webhooks: signed, tried again for as long as the settings say, then left for a person."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import httpx

from imaging.errors import ImagingError, NotFound
from imaging.pipeline.v1 import pipeline_pb2
from imaging.settings.security_files import check_trusted_certificates, read_secret
from imaging.settings.webhook import Webhook
from pipeline_svc.alerts.alert_table import AlertTable
from pipeline_svc.alerts.signature import signed_headers, signing_key

if TYPE_CHECKING:
    from imaging.client.storage import StorageClient

_log = logging.getLogger(__name__)
_BUSY_FOR: Final = timedelta(minutes=2)
_GONE: Final = 410


def check_webhooks(webhooks: Mapping[str, Webhook]) -> None:
    """Pass if the files that webhooks name can be used: told when the service starts, not when an alert is raised.

    Raises
    ------
    SettingsInvalid
        If one is missing or no good, or others can read a secret or guess it.
    """
    for key, webhook in webhooks.items():
        _key(key, webhook)
        if webhook.ca_file is not None:
            check_trusted_certificates(webhook.ca_file, f"pipeline.webhooks.{key}.ca_file")


class WebhookDelivery:
    """Tells alerts. Each replica takes what is due; what one is at, the others leave.

    Parameters
    ----------
    look_every
        So often the table is looked at.
    answer_within
        The time of one telling, until the answer; far less than others leave it alone for.
    """

    def __init__(
        self,
        alerts: AlertTable,
        webhooks: Mapping[str, Webhook],
        storage: StorageClient,
        look_every: timedelta,
        answer_within: timedelta = timedelta(seconds=30),
    ) -> None:
        self._alerts = alerts
        self._webhooks = webhooks
        self._storage = storage
        self._look_every_s = look_every.total_seconds()
        self._answer_within_s = answer_within.total_seconds()

    async def run(self) -> None:
        """Tell what is due, until cancelled; no webhook waits for another."""
        async with asyncio.TaskGroup() as loops:
            for name in self._webhooks:
                loops.create_task(self._repeat(partial(self._tell_due, name)), name=f"webhook-{name}")
            loops.create_task(self._repeat(self._alerts.give_up_strangers), name="webhooks-no-more")

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except ImagingError as error:
                _log.warning("alerts cannot be told now", extra={"error": error.text})
            except Exception:  # noqa: BLE001 - one that meets a defect must not keep the others from being told
                _log.exception("alerts met a defect")
            await asyncio.sleep(self._look_every_s)

    async def _tell_due(self, name: str) -> None:
        while True:
            taking = asyncio.create_task(self._alerts.take_due(name, _BUSY_FOR))
            try:
                due = await asyncio.shield(taking)
                if not due:
                    return
                ended = await asyncio.gather(*(self._tell(alert, name) for alert in due), return_exceptions=True)
            except asyncio.CancelledError:
                with suppress(ImagingError):  # else they are due when the time is over that they are left alone for
                    await self._alerts.put_back(name, await taking)
                raise
            for error in filter(None, ended):
                raise error

    async def _tell(self, alert: pipeline_pb2.Alert, name: str) -> None:
        error, is_final = await self._answer(alert, name)
        await self._alerts.told(alert.name, name, error, is_final=is_final)
        if error:
            _log.warning("an alert was not taken", extra={"alert": alert.name, "webhook": name, "error": error})

    async def _answer(self, alert: pipeline_pb2.Alert, name: str) -> tuple[str, bool]:
        """Why it was not taken (empty: it was), and whether it would not be again."""
        try:
            async with asyncio.timeout(self._answer_within_s):
                status = await self._post(alert, name, self._webhooks[name])
        except TimeoutError:
            return f"It has not answered within {self._answer_within_s:g} s", False
        except httpx.HTTPError as error:
            return f"It does not answer ({type(error).__name__})", False
        except ImagingError as error:
            return error.text, False
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown, and tried again for only so long
            _log.exception("an alert met a defect", extra={"alert": alert.name, "webhook": name})
            return f"It cannot be told ({type(error).__name__})", False
        return "" if 200 <= status < 300 else f"It answers with HTTP {status}", status == _GONE

    async def _post(self, alert: pipeline_pb2.Alert, name: str, webhook: Webhook) -> int:
        """The status that it is answered with."""
        body = json.dumps(await self._content(alert, webhook), ensure_ascii=False, separators=(",", ":")).encode()
        headers = signed_headers(_key(name, webhook), alert.name.replace("/", "_"), int(time.time()), body)
        headers["content-type"] = "application/json"
        proof = ssl.create_default_context(cafile=webhook.ca_file)
        # Its timeout would be one of each read; the caller has one for all.
        async with (
            httpx.AsyncClient(verify=proof, timeout=None, trust_env=False) as client,
            client.stream("POST", webhook.url, content=body, headers=headers) as answer,
        ):
            return answer.status_code  # what it says besides is not read

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


def _key(name: str, webhook: Webhook) -> bytes:
    where = f"pipeline.webhooks.{name}.secret_file = {webhook.secret_file}"
    return signing_key(read_secret(webhook.secret_file, where), where)
