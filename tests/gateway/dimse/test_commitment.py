"""Storage commitment: what is said to be safe was read back; what is not is named with the reason."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association as Modality
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import CTImageStorage, MRImageStorage, StorageCommitmentPushModel

from gateway_svc.dimse import status
from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.commitment import (
    CLASS_INSTANCE_CONFLICT,
    NO_SUCH_OBJECT_INSTANCE,
    PROCESSING_FAILURE,
    read_request,
)
from gateway_svc.dimse.commitment_reports import MOST_UNANSWERED
from gateway_svc.dimse.identifier import Element, encode_identifier, encode_sequence
from gateway_svc.dimse.requestor import UNCOMPRESSED
from gateway_svc.dimse.sop_classes import STORAGE_COMMITMENT_INSTANCE
from imaging.errors import InvalidArgument
from tests.gateway.dimse.archive import Archive, free_port
from tests.gateway.dimse.conftest import Start
from tests.gateway.dimse.test_c_find import keep
from tests.storage.storage_under_test import ct

CONTEXTS = [(StorageCommitmentPushModel, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]


@dataclass
class Reports:
    """The reports that came, and a sign when one did."""

    data_sets: list[tuple[int, Dataset]] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    def take(self, event: evt.Event) -> tuple[int, None]:
        """Handles an N-EVENT-REPORT."""
        self.data_sets.append((event.event_type, event.event_information))
        self.arrived.set()
        return 0, None


def asked(*references: tuple[str, str], transaction: str = "1.2.3.99") -> Dataset:
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = []
    for sop_class, uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        request.ReferencedSOPSequence.append(item)
    return request


async def commit(
    archive: Archive, request: Dataset, reports: Reports, *, stay: bool = True, action: int = 1, **how: Any
) -> int:
    """The status of the request; with `stay`, once the report has come."""

    def ask(association: Modality) -> int:
        answer, _ = association.send_n_action(request, action, StorageCommitmentPushModel, STORAGE_COMMITMENT_INSTANCE)
        if stay and answer.Status == status.SUCCESS:
            assert reports.arrived.wait(20)
        return int(answer.Status)

    return await archive.talk(CONTEXTS, ask, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports.take)], **how)


def object_of(archive: Archive, uid: str) -> Path:
    (found,) = (archive.settings.data_dir / "storage" / "objects").rglob(f"{uid}_*.dcm")
    return found


async def test_what_is_stored_is_committed_over_the_association_that_asked(archive: Archive) -> None:
    uids = [f"1.2.3.1.{number}" for number in range(120)]
    await keep(archive, *(ct(sop=uid) for uid in uids))
    reports = Reports()
    assert await commit(archive, asked(*((CTImageStorage, uid) for uid in uids)), reports) == status.SUCCESS
    ((event, told),) = reports.data_sets
    assert (event, told.TransactionUID, told.RetrieveAETitle) == (1, "1.2.3.99", "IMAGING")
    assert [item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence] == uids
    assert "FailedSOPSequence" not in told


async def test_what_is_missing_damaged_or_of_another_class_is_named_with_the_reason(archive: Archive) -> None:
    await keep(archive, *(ct(sop=f"1.2.3.1.{number}") for number in range(4)))
    damaged = object_of(archive, "1.2.3.1.1")
    content = bytearray(damaged.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    object_of(archive, "1.2.3.1.2").unlink()
    reports = Reports()
    request = asked(
        (CTImageStorage, "1.2.3.1.0"),
        (CTImageStorage, "1.2.3.1.1"),
        (CTImageStorage, "1.2.3.1.2"),
        (MRImageStorage, "1.2.3.1.3"),
        (CTImageStorage, "1.2.3.1.9"),
    )
    assert await commit(archive, request, reports) == status.SUCCESS
    ((event, told),) = reports.data_sets
    assert event == 2
    assert [item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence] == ["1.2.3.1.0"]
    assert {item.ReferencedSOPInstanceUID: item.FailureReason for item in told.FailedSOPSequence} == {
        "1.2.3.1.1": PROCESSING_FAILURE,
        "1.2.3.1.2": PROCESSING_FAILURE,
        "1.2.3.1.3": CLASS_INSTANCE_CONFLICT,
        "1.2.3.1.9": NO_SUCH_OBJECT_INSTANCE,
    }


async def test_who_has_left_gets_the_report_over_an_association_of_ours(start: Start) -> None:
    port = free_port()
    there = {"ct": {"ae_title": "MODALITY", "address": f"127.0.0.1:{port}"}}
    async with start(gateway__destinations=there) as archive:
        await keep(archive, ct())
        reports = Reports()
        with listening(port, reports):
            assert await ask_and_leave(archive, asked((CTImageStorage, "1.2.3.1.1"))) == status.SUCCESS
            assert await asyncio.to_thread(reports.arrived.wait, 20)
        assert [(event, told.TransactionUID) for event, told in reports.data_sets] == [(1, "1.2.3.99")]


@contextmanager
def listening(port: int, reports: Reports) -> Iterator[None]:
    """The modality as SCP of the reports."""
    modality = AE(ae_title="MODALITY")
    modality.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    handlers = [(evt.EVT_N_EVENT_REPORT, reports.take)]
    server = modality.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


async def ask_and_leave(archive: Archive, request: Dataset) -> int:
    """The status of a request whose report nobody waits for."""

    def ask(association: Modality) -> int:
        answer, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, STORAGE_COMMITMENT_INSTANCE)
        association.abort()
        return int(answer.Status)

    return await archive.talk(CONTEXTS, ask)


async def test_a_restart_between_request_and_report_loses_no_report(start: Start) -> None:
    """The modality is away when its report is due, then the gateway, then both are there again."""
    port = free_port()
    there = {"ct": {"ae_title": "MODALITY", "address": f"127.0.0.1:{port}"}}
    reports = Reports()
    async with start(gateway__destinations=there) as archive:
        await keep(archive, ct())
        assert await ask_and_leave(archive, asked((CTImageStorage, "1.2.3.1.1"))) == status.SUCCESS
    with listening(port, reports):
        async with start(gateway__destinations=there):
            assert await asyncio.to_thread(reports.arrived.wait, 30)
    assert [(event, told.TransactionUID) for event, told in reports.data_sets] == [(1, "1.2.3.99")]
    reports.arrived.clear()
    with listening(port, reports):
        async with start(gateway__destinations=there) as archive:
            # What was reported is not owed any more: the next one is all that comes.
            request = asked((CTImageStorage, "1.2.3.1.1"), transaction="1.2.3.100")
            assert await ask_and_leave(archive, request) == status.SUCCESS
            assert await asyncio.to_thread(reports.arrived.wait, 30)
    assert [told.TransactionUID for _, told in reports.data_sets] == ["1.2.3.99", "1.2.3.100"]


async def test_a_report_that_an_acceptor_could_not_note_as_taken_comes_again(start: Start) -> None:
    port = free_port()
    there = {"ct": {"ae_title": "MODALITY", "address": f"127.0.0.1:{port}"}}
    reports, seen = Reports(), Reports()
    async with start(gateway__destinations=there) as archive:
        await keep(archive, ct())

        def kill(event: evt.Event) -> tuple[int, None]:
            (acceptor,) = acceptors()
            acceptor.kill()
            return seen.take(event)

        def ask(association: Modality) -> int:
            request = asked((CTImageStorage, "1.2.3.1.1"))
            answer, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, STORAGE_COMMITMENT_INSTANCE)
            assert seen.arrived.wait(20)
            return int(answer.Status)

        assert await archive.talk(CONTEXTS, ask, evt_handlers=[(evt.EVT_N_EVENT_REPORT, kill)]) == status.SUCCESS
        with listening(port, reports):
            assert await asyncio.to_thread(reports.arrived.wait, 60)
    assert {told.TransactionUID for _, told in reports.data_sets} == {"1.2.3.99"}


def acceptors() -> list[psutil.Process]:
    """The acceptor processes of this process."""
    return [child for child in psutil.Process().children() if "gateway_svc.dimse.acceptor" in child.cmdline()]


async def test_a_request_that_makes_no_sense_is_refused(archive: Archive) -> None:
    reports = Reports()
    assert await commit(archive, asked(), reports) == status.INVALID_ARGUMENT_VALUE
    nameless = asked((CTImageStorage, "1.2.3"), transaction="")
    assert await commit(archive, nameless, reports) == status.INVALID_ARGUMENT_VALUE
    assert await commit(archive, asked((CTImageStorage, "1.2.3")), reports, action=2) == status.NO_SUCH_ACTION
    assert not reports.data_sets


def test_a_class_that_is_no_uid_is_refused() -> None:
    """However long: it would be more than the ledger takes in a line."""
    item = [Element(0x00081150, "UI", "1" * 1_000_000), Element(0x00081155, "UI", "1.2.3.1.1")]
    content = encode_identifier([Element(0x00081195, "UI", "1.2.3.99")], ImplicitVRLittleEndian) + encode_sequence(
        0x00081199, [encode_identifier(item, ImplicitVRLittleEndian)], ImplicitVRLittleEndian
    )
    with pytest.raises(InvalidArgument, match="no UID"):
        read_request(content, ImplicitVRLittleEndian)


async def test_who_answers_no_report_gets_so_many_and_no_more(archive: Archive) -> None:
    association = await archive.associate([(StorageCommitmentPushModel, UNCOMPRESSED)])
    (context,) = association.contexts.values()
    content = encode(asked((CTImageStorage, "1.2.3.1.1")), context.transfer_syntax == ImplicitVRLittleEndian, True)
    numbers = count(1)
    reports: list[Command] = []

    async def request() -> int | None:
        command = Command(
            CommandField.N_ACTION,
            requested_sop_class_uid=StorageCommitmentPushModel,
            requested_sop_instance_uid=STORAGE_COMMITMENT_INSTANCE,
            message_id=next(numbers),
            action_type_id=1,
        )
        await association.send(context, command, content)
        answer = await association.receive()
        assert answer is not None
        if answer.command.status == status.SUCCESS:
            report = await association.receive()
            assert report is not None
            assert report.data is not None
            await report.data.skip()
            reports.append(report.command)
        return answer.command.status

    assert [await request() for _ in range(MOST_UNANSWERED)] == [status.SUCCESS] * MOST_UNANSWERED
    assert await request() == status.OUT_OF_RESOURCES
    await association.send(context, reports[0].response(status.SUCCESS))
    assert await request() == status.SUCCESS
    association.abort()
