"""The result of a sending: one message, however much has failed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway_svc.sending import sender as sender_module
from gateway_svc.sending.failed_sends import failed_send_name
from gateway_svc.sending.sender import MOST_TOLD, Result, Sender
from imaging.client.patience import Patience
from imaging.errors import FailedPrecondition
from imaging.gateway.v1 import gateway_service_pb2 as pb
from imaging.rpc.channel import MAX_MESSAGE_BYTES
from imaging.rpc.status import to_status
from tests.gateway.dimse.conftest import Start
from tests.gateway.dimse.test_resender import NAMES, PACS, UIDS, world


async def test_a_result_counts_all_failures_and_tells_the_first_of_them(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "MOST_TOLD", 3)
    async with world(start, tmp_path) as there:  # nobody listens at the destination
        sender = Sender(there.settings, there.storage, there.failed, Patience(give_up_after=timedelta(0)))
        request = pb.SendInstancesRequest(destination=PACS, names=NAMES)
        result = await sender.send(request, there.settings.gateway.destinations["pacs"], lambda *_: None)
        assert (result.sent_count, result.failed_count) == (0, 5)
        assert [failure.instance for failure in result.failures] == NAMES[:3]
        assert await there.listed() == set(UIDS)


def test_what_a_result_tells_at_most_fits_into_a_message() -> None:
    uid = "2." + "1" * 62
    name = f"studies/{uid}/series/{uid}/instances/{uid}"
    error = to_status(FailedPrecondition("what " * 60, where="where " * 40, hint="hint " * 60))
    result = Result()
    for _ in range(MOST_TOLD):
        result.failures.add(instance=name, error=error, failed_send=failed_send_name(PACS, name))
    assert result.ByteSize() < MAX_MESSAGE_BYTES
