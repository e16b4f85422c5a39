"""C-GET: what is stored goes out as it is stored, or decoded where the peer takes nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    MPEG2MPML,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from pynetdicom import build_role, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    MRImageStorage,
    PatientRootQueryRetrieveInformationModelGet,
    RTPlanStorage,
    StudyRootQueryRetrieveInformationModelGet,
)

from gateway_svc.dimse import status
from gateway_svc.dimse.associate_pdu import Role
from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.identifier import Element, encode_identifier
from gateway_svc.dimse.requestor import RemoteAe, associate
from tests.dicom.wheel_files import wheel_file
from tests.gateway.dimse.archive import Archive, data_set_of
from tests.gateway.dimse.storage_scp import CT, Answers, Received, counts, wanted
from tests.gateway.dimse.test_c_find import keep
from tests.storage.storage_under_test import ct, encoded

GET = StudyRootQueryRetrieveInformationModelGet


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
