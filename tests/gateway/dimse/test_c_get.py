"""C-GET and C-MOVE: what is stored goes out as it is stored, or decoded where the peer takes nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association as Modality
from pynetdicom.sop_class import (
    CTImageStorage,
    MRImageStorage,
    PatientRootQueryRetrieveInformationModelGet,
    RTPlanStorage,
    SecondaryCaptureImageStorage,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from gateway_svc.dimse import status
from gateway_svc.dimse.associate_pdu import Role
from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.identifier import Element, encode_identifier
from gateway_svc.dimse.requestor import RemoteAe, associate
from tests.dicom.wheel_files import wheel_file
from tests.gateway.dimse.archive import Archive, data_set_of, free_port
from tests.gateway.dimse.conftest import Start
from tests.gateway.dimse.test_c_find import keep
from tests.storage.storage_under_test import ct, encoded

GET = StudyRootQueryRetrieveInformationModelGet
MOVE = StudyRootQueryRetrieveInformationModelMove
CT = [(CTImageStorage, [ExplicitVRLittleEndian])]
Answers = list[tuple[Dataset, Dataset | None]]


@dataclass
class Received:
    """What a storage SCP was sent, by SOP Instance UID."""

    data_sets: dict[str, bytes] = field(default_factory=dict)
    syntaxes: dict[str, str] = field(default_factory=dict)
    originators: set[tuple[str, int]] = field(default_factory=set)
    answer: int = 0
    stall: threading.Event | None = None
    full_for: int = 0
    """So many times it is out of resources first."""
    times: int = 0
    abort_at: int = 0
    """The association is aborted at this one; 0: never."""
    aborts_always: bool = False

    def take(self, event: evt.Event) -> int:
        """Handles a C-STORE."""
        if self.stall is not None:
            self.stall.wait(20)
        self.times += 1
        if self.times <= self.full_for:
            return 0xA700
        if self.aborts_always or self.times == self.abort_at:
            event.assoc.abort()
            return 0
        uid = str(event.request.AffectedSOPInstanceUID)
        self.data_sets[uid] = event.request.DataSet.getvalue()
        self.syntaxes[uid] = str(event.context.transfer_syntax)
        self.originators.add(
            (event.request.MoveOriginatorApplicationEntityTitle, event.request.MoveOriginatorMessageID)
        )
        return self.answer

    def decoded(self, uid: str) -> pydicom.FileDataset:
        """A data set as pydicom reads it."""
        syntax = pydicom.uid.UID(self.syntaxes[uid])
        data_set = (
            pydicom.dcmread(BytesIO(self.data_sets[uid]), force=True)
            if syntax == ImplicitVRLittleEndian
            else _explicit(self.data_sets[uid])
        )
        data_set.file_meta = pydicom.dataset.FileMetaDataset()
        data_set.file_meta.TransferSyntaxUID = syntax
        return data_set


def _explicit(content: bytes) -> Any:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filereader import read_dataset

    return read_dataset(DicomBytesIO(content), False, True)


def wanted(level: str, **keys: Any) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for name, value in keys.items():
        setattr(identifier, name, value)
    return identifier


async def get(
    archive: Archive,
    received: Received,
    identifier: Dataset,
    classes: Sequence[tuple[str, Sequence[str]]],
    model: str = GET,
) -> Answers:
    """The answers to a C-GET; its instances are in `received`."""
    contexts = [(model, [ImplicitVRLittleEndian]), *classes]
    return await archive.talk(
        contexts,
        lambda association: list(association.send_c_get(identifier, model)),
        ext_neg=[build_role(sop_class, scp_role=True) for sop_class, _ in classes],
        evt_handlers=[(evt.EVT_C_STORE, received.take)],
    )


def counts(answer: Dataset) -> tuple[int, int, int]:
    return (
        answer.NumberOfCompletedSuboperations,
        answer.NumberOfFailedSuboperations,
        answer.NumberOfWarningSuboperations,
    )


@contextmanager
def storage_scp(
    port: int, received: Received, contexts: Sequence[tuple[str, Sequence[str]]], ae_title: str = "WORKSTATION"
) -> Iterator[None]:
    """A storage SCP of pynetdicom."""
    entity = AE(ae_title=ae_title)
    for sop_class, syntaxes in contexts:
        entity.add_supported_context(sop_class, list(syntaxes))
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, received.take)])
    try:
        yield
    finally:
        server.shutdown()


async def test_a_study_comes_back_with_the_bytes_that_were_sent(archive: Archive) -> None:
    sent = {f"1.2.3.1.{number}": ct(sop=f"1.2.3.1.{number}") for number in range(5)}
    await keep(archive, *sent.values(), ct("1.2.4", "1.2.4.1", "1.2.4.1.1"))
    received = Received()
    last, nothing = (await get(archive, received, wanted("STUDY", StudyInstanceUID="1.2.3"), CT))[-1]
    assert (last.Status, counts(last), nothing) == (status.SUCCESS, (5, 0, 0), None)
    assert received.data_sets == {uid: data_set_of(content) for uid, content in sent.items()}


async def test_a_large_instance_comes_back_piece_by_piece(archive: Archive) -> None:
    data_set = pydicom.dcmread(BytesIO(ct()))
    data_set.Rows, data_set.Columns = 4096, 1024
    data_set.PixelData = bytes(range(256)) * 32768
    content = encoded(data_set)
    await keep(archive, content)
    received = Received()
    answers = await get(
        archive,
        received,
        wanted("IMAGE", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.1", SOPInstanceUID="1.2.3.1.1"),
        CT,
    )
    assert answers[-1][0].Status == status.SUCCESS
    assert received.data_sets == {"1.2.3.1.1": data_set_of(content)}


async def test_each_level_names_what_is_sent(archive: Archive) -> None:
    await keep(
        archive,
        *(
            ct(f"1.{a}", f"1.{a}.{b}", f"1.{a}.{b}.{c}", PatientID=f"P{a}")
            for a in (1, 2)
            for b in (1, 2)
            for c in (1, 2)
        ),
    )
    patient = PatientRootQueryRetrieveInformationModelGet
    for level, model, keys, expected in (
        ("PATIENT", patient, {"PatientID": "P1"}, ["1.1.1.1", "1.1.1.2", "1.1.2.1", "1.1.2.2"]),
        ("STUDY", GET, {"StudyInstanceUID": ["1.2", "1.9"]}, ["1.2.1.1", "1.2.1.2", "1.2.2.1", "1.2.2.2"]),
        ("SERIES", GET, {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.1"}, ["1.2.1.1", "1.2.1.2"]),
        ("IMAGE", GET, {"SOPInstanceUID": ["1.1.1.1", "1.2.2.2"]}, ["1.1.1.1", "1.2.2.2"]),
        ("STUDY", GET, {"StudyInstanceUID": "9.9"}, []),
    ):
        received = Received()
        answers = await get(archive, received, wanted(level, **keys), CT, model)
        assert answers[-1][0].Status == status.SUCCESS
        assert sorted(received.data_sets) == expected, level


@pytest.mark.parametrize(
    "keys",
    [{"StudyInstanceUID": ""}, {"StudyInstanceUID": "*"}, {"StudyInstanceUID": "1.2.*"}, {"PatientID": "X"}],
)
async def test_nothing_is_sent_without_the_unique_key_of_the_level(archive: Archive, keys: dict[str, str]) -> None:
    await keep(archive, ct())
    received = Received()
    answers = await get(archive, received, wanted("STUDY", **keys), CT)
    assert [answer.Status for answer, _ in answers] == [status.DATA_SET_MISMATCH]
    assert not received.data_sets


@pytest.mark.parametrize("target", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
async def test_what_the_peer_does_not_take_as_it_is_stored_is_decoded(archive: Archive, target: str) -> None:
    names = ("MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "rtplan.dcm")
    contents = [wheel_file(name) for name in names]
    originals = [pydicom.dcmread(BytesIO(content)) for content in contents]
    for original, content in zip(originals, contents, strict=True):  # three files of one object
        await keep(archive, content)
        received = Received()
        uid, study = str(original.SOPInstanceUID), str(original.StudyInstanceUID)
        answers = await get(
            archive,
            received,
            wanted("IMAGE", StudyInstanceUID=study, SOPInstanceUID=uid),
            [(MRImageStorage, [target]), (RTPlanStorage, [target])],
        )
        assert (answers[-1][0].Status, received.syntaxes) == (status.SUCCESS, {uid: target})
        got = received.decoded(uid)
        assert got.PatientID == original.PatientID
        if "PixelData" in original:
            assert np.array_equal(got.pixel_array, original.pixel_array)


async def test_a_peer_that_takes_a_lossless_syntax_alone_gets_that(archive: Archive) -> None:
    content = wheel_file("MR_small.dcm")
    original = pydicom.dcmread(BytesIO(content))
    await keep(archive, content)
    uid = str(original.SOPInstanceUID)
    identifier = wanted("IMAGE", StudyInstanceUID=str(original.StudyInstanceUID), SOPInstanceUID=uid)
    received = Received()
    answers = await get(archive, received, identifier, [(MRImageStorage, [RLELossless])])
    assert (answers[-1][0].Status, received.syntaxes) == (status.SUCCESS, {uid: RLELossless})
    assert np.array_equal(received.decoded(uid).pixel_array, original.pixel_array)
    received = Received()
    answers = await get(archive, received, identifier, [(MRImageStorage, [MPEG2MPML])])
    assert (answers[-1][0].Status, received.syntaxes) == (status.CANNOT_PERFORM_SUB_OPERATIONS, {})


async def test_an_instance_that_cannot_be_sent_is_told_and_the_others_come(archive: Archive) -> None:
    sent = ct()
    video = pydicom.dcmread(BytesIO(ct(sop="1.2.3.1.2")))
    video.SOPClassUID = video.file_meta.MediaStorageSOPClassUID = MRImageStorage
    await keep(archive, sent, encoded(video))
    received = Received()
    last, identifier = (await get(archive, received, wanted("STUDY", StudyInstanceUID="1.2.3"), CT))[-1]
    assert (last.Status, counts(last)) == (status.SUB_OPERATIONS_FAILED, (1, 1, 0))
    assert identifier is not None
    assert identifier.FailedSOPInstanceUIDList == "1.2.3.1.2"
    assert list(received.data_sets) == ["1.2.3.1.1"]
    (answer, identifier), *_ = reversed(
        await get(
            archive,
            Received(answer=0xA700),
            wanted("SERIES", SeriesInstanceUID="1.2.3.1"),
            CT,
        )
    )
    assert (answer.Status, counts(answer)) == (status.CANNOT_PERFORM_SUB_OPERATIONS, (0, 2, 0))
    assert identifier is not None
    assert list(identifier.FailedSOPInstanceUIDList) == ["1.2.3.1.1", "1.2.3.1.2"]


async def test_a_warning_of_the_peer_is_counted_as_one(archive: Archive) -> None:
    await keep(archive, ct())
    answers = await get(
        archive,
        Received(answer=0xB000),
        wanted("STUDY", StudyInstanceUID="1.2.3"),
        CT,
    )
    assert (answers[-1][0].Status, counts(answers[-1][0])) == (status.SUB_OPERATIONS_FAILED, (0, 0, 1))


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


async def test_each_fragment_that_is_sent_has_an_even_number_of_bytes(archive: Archive) -> None:
    await keep(archive, ct(sop="1.2.3.1.1"))
    fragments: list[int] = []

    def note(event: evt.Event) -> None:
        fragments.extend(len(item.presentation_data_value) - 1 for item in event.pdu.presentation_data_value_items)

    received = Received()
    await archive.talk(
        [(GET, [ImplicitVRLittleEndian]), *CT],
        lambda modality: list(modality.send_c_get(wanted("STUDY", StudyInstanceUID="1.2.3"), GET)),
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, received.take), (evt.EVT_PDU_RECV, note)],
        max_pdu=127,
    )
    assert set(received.data_sets) == {"1.2.3.1.1"}
    assert len(fragments) > 10
    assert all(size % 2 == 0 for size in fragments)


async def test_a_requestor_that_leaves_in_the_middle_of_a_get_leaves_nothing_behind(archive: Archive) -> None:
    await keep(archive, *(ct(sop=f"1.2.3.1.{number}") for number in range(20)))
    contexts = [(GET, [ExplicitVRLittleEndian]), *CT]
    roles = {CTImageStorage: Role(is_scu=False, is_scp=True)}
    association = await associate(RemoteAe(archive.address, "ANY"), "ODD", contexts, roles=roles)
    asking = next(context for context in association.contexts.values() if context.abstract_syntax == GET)
    request = Command(CommandField.C_GET, affected_sop_class_uid=GET, message_id=1, priority=0)
    study = [Element(0x00080052, "CS", "STUDY"), Element(0x0020000D, "UI", "1.2.3")]
    await association.send(asking, request, encode_identifier(study, ExplicitVRLittleEndian))
    message = await association.receive()
    assert message is not None
    assert message.command.command_field == CommandField.C_STORE
    association.abort()
    again = Received()
    answers = await get(archive, again, wanted("STUDY", StudyInstanceUID="1.2.3"), CT)
    assert (answers[-1][0].Status, len(again.data_sets)) == (status.SUCCESS, 20)


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
