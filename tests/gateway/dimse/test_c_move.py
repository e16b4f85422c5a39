"""C-MOVE: what is stored goes to a destination, whatever becomes of single instances."""

from __future__ import annotations

import threading

from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom.association import Association as Modality
from pynetdicom.sop_class import (
    CTImageStorage,
    SecondaryCaptureImageStorage,
    StudyRootQueryRetrieveInformationModelMove,
)

from gateway_svc.dimse import status
from tests.dicom.wheel_files import wheel_file
from tests.gateway.dimse.archive import Archive, data_set_of, free_port
from tests.gateway.dimse.conftest import Start
from tests.gateway.dimse.storage_scp import CT, Answers, Received, counts, storage_scp, wanted
from tests.gateway.dimse.test_c_find import keep
from tests.storage.storage_under_test import ct

MOVE = StudyRootQueryRetrieveInformationModelMove


async def move(
    archive: Archive, destination: str, identifier: Dataset, cancel: threading.Event | None = None
) -> Answers:
    def ask(association: Modality) -> Answers:
        answers: Answers = []
        for answer in association.send_c_move(identifier, destination, MOVE, msg_id=9):
            answers.append(answer)
            if cancel is not None and len(answers) == 1:
                association.send_c_cancel(9, query_model=MOVE)
                cancel.set()
        return answers

    return await archive.talk([(MOVE, [ExplicitVRLittleEndian])], ask)


async def test_a_move_sends_to_a_destination_and_says_for_whom(start: Start) -> None:
    port = free_port()
    there = {"workstation": {"ae_title": "WORKSTATION", "address": f"127.0.0.1:{port}"}}
    async with start(gateway__destinations=there) as archive:
        sent = {f"1.2.3.1.{number}": ct(sop=f"1.2.3.1.{number}") for number in range(3)}
        await keep(archive, *sent.values())
        received = Received()
        with storage_scp(port, received, [(CTImageStorage, [ImplicitVRLittleEndian, ExplicitVRLittleEndian])]):
            answers = await move(archive, "WORKSTATION", wanted("STUDY", StudyInstanceUID="1.2.3"))
        last, _ = answers[-1]
        assert (last.Status, counts(last)) == (status.SUCCESS, (3, 0, 0))
        assert received.data_sets == {uid: data_set_of(content) for uid, content in sent.items()}
        assert received.originators == {("MODALITY", 9)}

        unknown = await move(archive, "NOBODY", wanted("STUDY", StudyInstanceUID="1.2.3"))
        assert [answer.Status for answer, _ in unknown] == [status.MOVE_DESTINATION_UNKNOWN]
        away = await move(archive, "WORKSTATION", wanted("STUDY", StudyInstanceUID="1.2.3"))
        assert [answer.Status for answer, _ in away] == [status.CANNOT_PERFORM_SUB_OPERATIONS]


async def test_a_destination_that_breaks_off_over_one_instance_gets_the_others(start: Start) -> None:
    port = free_port()
    there = {"workstation": {"ae_title": "WORKSTATION", "address": f"127.0.0.1:{port}"}}
    async with start(gateway__destinations=there) as archive:
        await keep(archive, *(ct(sop=f"1.2.3.1.{number}") for number in range(5)))
        received = Received(abort_at=3)
        with storage_scp(port, received, CT):
            last, identifier = (await move(archive, "WORKSTATION", wanted("STUDY", StudyInstanceUID="1.2.3")))[-1]
        assert (last.Status, counts(last)) == (status.SUB_OPERATIONS_FAILED, (4, 1, 0))
        assert identifier is not None
        assert identifier.FailedSOPInstanceUIDList == "1.2.3.1.2"
        assert set(received.data_sets) == {f"1.2.3.1.{number}" for number in (0, 1, 3, 4)}


async def test_a_destination_that_breaks_off_over_each_instance_is_given_up(start: Start) -> None:
    port = free_port()
    there = {"workstation": {"ae_title": "WORKSTATION", "address": f"127.0.0.1:{port}"}}
    async with start(gateway__destinations=there) as archive:
        await keep(archive, *(ct(sop=f"1.2.3.1.{number}") for number in range(5)))
        received = Received(aborts_always=True)
        with storage_scp(port, received, CT):
            last, identifier = (await move(archive, "WORKSTATION", wanted("STUDY", StudyInstanceUID="1.2.3")))[-1]
        assert (last.Status, counts(last)) == (status.CANNOT_PERFORM_SUB_OPERATIONS, (0, 5, 0))
        assert identifier is not None
        assert len(identifier.FailedSOPInstanceUIDList) == 5
        assert received.times == 3


async def test_an_object_of_an_odd_length_is_told_and_keeps_the_association(start: Start) -> None:
    port = free_port()
    there = {"workstation": {"ae_title": "WORKSTATION", "address": f"127.0.0.1:{port}"}}
    one_byte_of_padding = bytes.fromhex("fcfffcff 4f42 0000 01000000 00")  # (FFFC,FFFC)
    odd = ct(sop="1.2.3.1.9") + one_byte_of_padding
    deflated = wheel_file("image_dfl.dcm")
    assert len(data_set_of(odd)) % 2 == len(data_set_of(deflated)) % 2 == 1
    async with start(gateway__destinations=there) as archive:
        await keep(archive, odd, deflated, *(ct(sop=f"1.2.3.1.{number}") for number in range(2)))
        studies = await archive.study_uids()
        received = Received()
        contexts = [*CT, (SecondaryCaptureImageStorage, [DeflatedExplicitVRLittleEndian])]
        with storage_scp(port, received, contexts):
            last, identifier = (await move(archive, "WORKSTATION", wanted("STUDY", StudyInstanceUID=studies)))[-1]
        assert (last.Status, counts(last)) == (status.SUB_OPERATIONS_FAILED, (3, 1, 0))
        assert identifier is not None
        assert identifier.FailedSOPInstanceUIDList == "1.2.3.1.9"
        # A deflated one has room for the byte that it lacks (PS3.5 A.5).
        assert data_set_of(deflated) + b"\0" in received.data_sets.values()


async def test_a_cancel_ends_a_move_and_tells_what_is_left(start: Start) -> None:
    port = free_port()
    there = {"slow": {"ae_title": "SLOW", "address": f"127.0.0.1:{port}"}}
    async with start(gateway__destinations=there) as archive:
        await keep(archive, *(ct(sop=f"1.2.3.1.{number}") for number in range(40)))
        received = Received()

        class Unhurried(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                return super().wait(0.15)

        received.stall = Unhurried()  # so that a pending answer comes before the end
        with storage_scp(port, received, CT, "SLOW"):
            answers = await move(archive, "SLOW", wanted("STUDY", StudyInstanceUID="1.2.3"), received.stall)
        last, _ = answers[-1]
        assert answers[0][0].Status == status.PENDING
        assert last.Status == status.CANCELLED
        assert last.NumberOfRemainingSuboperations > 0
        assert last.NumberOfCompletedSuboperations == len(received.data_sets) < 40
