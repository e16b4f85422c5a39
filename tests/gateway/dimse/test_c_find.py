"""C-FIND: what is stored is found at every level, with answers in a form that the requestor understands."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association as Modality
from pynetdicom.sop_class import (
    CTImageStorage,
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from gateway_svc.dimse import status
from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.identifier import Element, decode_identifier, encode_identifier
from gateway_svc.dimse.query_model import MATCHED, Level, keyword
from imaging.client.storage import Upload
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from storage_svc.search.keys import KEYS
from tests.gateway.dimse.archive import Archive
from tests.storage.storage_under_test import ct

STUDY_ROOT = StudyRootQueryRetrieveInformationModelFind
PATIENT_ROOT = PatientRootQueryRetrieveInformationModelFind

Answers = list[tuple[int, Dataset | None]]


async def keep(archive: Archive, *contents: bytes) -> None:
    """Store these."""
    uploads = [Upload(str(number), content) for number, content in enumerate(contents)]
    async for result in archive.client.store(uploads):
        assert result.error is None


def study(number: int, **values: Any) -> bytes:
    own = {"PatientID": f"P{number // 2}", "PatientName": f"Doe^{number // 2}", "StudyDate": f"2024010{number + 1}"}
    return ct(f"1.2.{number}", f"1.2.{number}.1", f"1.2.{number}.1.1", **{**own, **values})


async def find(
    archive: Archive,
    level: str,
    model: str = STUDY_ROOT,
    transfer_syntax: str = ExplicitVRLittleEndian,
    **keys: Any,
) -> Answers:
    """Status and identifier of each answer."""
    identifier = Dataset()
    if level:
        identifier.QueryRetrieveLevel = level
    for name, value in keys.items():
        setattr(identifier, name, value)

    def ask(association: Modality) -> Answers:
        return [(answer.Status, found) for answer, found in association.send_c_find(identifier, model)]

    return await archive.talk([(model, [transfer_syntax])], ask)


def matched(answers: Answers, name: str) -> list[str]:
    """The values of an attribute in the matches; the last answer must be success."""
    *matches, (last, nothing) = answers
    assert (last, nothing) == (status.SUCCESS, None)
    assert all(answer == status.PENDING for answer, _ in matches), answers
    return [str(getattr(found, name)) for _, found in matches]


def test_every_attribute_that_storage_matches_can_be_asked_for_and_no_other() -> None:
    levels = {keyword(tag): max(level, Level.STUDY) for tag, level in MATCHED.items()}
    assert levels == {name: key.level for name, key in KEYS.items()}


@pytest.mark.parametrize("syntax", [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN])
@pytest.mark.parametrize(
    ("asked", "name", "term"),
    [
        ("", "Doe^Jane", ""),
        ("ISO_IR 100", "Müller^Jörg", "ISO_IR 100"),
        ("ISO_IR 100", "Yamada^Tarou=山田^太郎", "ISO_IR 192"),
        ("ISO 2022 IR 87", "Yamada^Tarou=山田^太郎", "ISO_IR 192"),
        ("", "Люкceмбypг", "ISO_IR 192"),
    ],
)
def test_an_identifier_is_written_in_a_character_set_that_has_all_of_its_texts(
    syntax: str, asked: str, name: str, term: str
) -> None:
    written = encode_identifier([Element(0x00100010, "PN", name), Element(0x0020000D, "UI", "1.2.3")], syntax, asked)
    read = decode_identifier(written, syntax)
    assert read.character_set == term
    assert read.values[0x00100010] == name
    assert read.values[0x0020000D] == "1.2.3"


@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
async def test_each_level_is_found_with_what_was_asked_for(archive: Archive, transfer_syntax: str) -> None:
    await keep(archive, *(study(number, StudyTime="0915") for number in range(4)))

    async def values(level: str, model: str, name: str, **keys: Any) -> list[str]:
        return sorted(matched(await find(archive, level, model, transfer_syntax, **keys), name))

    assert await values("PATIENT", PATIENT_ROOT, "PatientID", PatientName="", PatientID="") == ["P0", "P1"]
    assert await values("STUDY", PATIENT_ROOT, "StudyInstanceUID", PatientID="P1") == ["1.2.2", "1.2.3"]
    assert await values("STUDY", STUDY_ROOT, "PatientName", PatientName="doe*", StudyDate="20240103-") == [
        "Doe^1",
        "Doe^1",
    ]
    assert await values("STUDY", STUDY_ROOT, "StudyInstanceUID", StudyInstanceUID=["1.2.0", "1.2.3", "9"]) == [
        "1.2.0",
        "1.2.3",
    ]
    assert await values("STUDY", STUDY_ROOT, "StudyInstanceUID", PatientID="P?", StudyDate="-20240102") == [
        "1.2.0",
        "1.2.1",
    ]
    assert (
        await values("STUDY", STUDY_ROOT, "NumberOfStudyRelatedInstances", NumberOfStudyRelatedInstances="")
        == ["1"] * 4
    )
    assert await values("STUDY", STUDY_ROOT, "Modality", Modality="CT", StudyInstanceUID="1.2.1") == ["CT"]
    assert await values("STUDY", STUDY_ROOT, "StudyInstanceUID", ModalitiesInStudy="MR") == []
    assert await values("STUDY", STUDY_ROOT, "StudyDate", StudyDate="20240102-20240103", StudyTime="11-23") == [], (
        "both were in the morning; one moment to another would have found the second"
    )
    assert await values("SERIES", STUDY_ROOT, "SeriesInstanceUID", StudyInstanceUID="1.2.2", Modality="CT") == [
        "1.2.2.1"
    ]
    assert await values("IMAGE", STUDY_ROOT, "SOPInstanceUID", StudyInstanceUID="1.2.2", SOPInstanceUID="") == [
        "1.2.2.1.1"
    ]
    assert await values("IMAGE", STUDY_ROOT, "Rows", SOPInstanceUID="1.2.3.1.1", Rows=None) == ["128"]


async def test_a_search_below_tells_of_the_patient_and_names_us_where_it_is_retrieved(archive: Archive) -> None:
    await keep(archive, study(1))
    (_, found), _ = await find(archive, "IMAGE", StudyInstanceUID="1.2.1", PatientName="", SeriesDescription="")
    assert found is not None
    assert (found.QueryRetrieveLevel, found.RetrieveAETitle, found.PatientName) == ("IMAGE", "IMAGING", "Doe^0")
    assert (found.StudyInstanceUID, found.SeriesInstanceUID, found.SOPInstanceUID) == ("1.2.1", "1.2.1.1", "1.2.1.1.1")
    assert "SeriesDescription" in found


async def test_a_name_that_is_no_ascii_comes_in_the_character_set_that_was_asked_in(archive: Archive) -> None:
    await keep(archive, study(1, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg"))
    for asked, told in (("ISO_IR 100", "ISO_IR 100"), ("ISO_IR 144", "ISO_IR 192"), ("", "ISO_IR 192")):
        own = {"SpecificCharacterSet": asked} if asked else {}
        name = "Müller*" if asked == "ISO_IR 100" else "M*"
        (answer, found), _ = await find(archive, "STUDY", **own, PatientName=name)
        assert found is not None
        assert (answer, found.SpecificCharacterSet, found.PatientName) == (status.PENDING, told, "Müller^Jörg")


async def test_keys_that_are_not_supported_are_told_by_the_status_and_left_out(archive: Archive) -> None:
    await keep(archive, study(1))
    (answer, found), (last, _) = await find(archive, "STUDY", PatientComments="x", SeriesInstanceUID="9", StudyID="")
    assert (answer, last) == (status.PENDING_WITHOUT_SOME_KEYS, status.SUCCESS)
    assert found is not None
    assert "StudyID" in found
    assert "PatientComments" not in found
    assert "SeriesInstanceUID" not in found


async def test_a_request_that_cannot_be_answered_says_why(archive: Archive) -> None:
    await keep(archive, study(1))
    assert [answer for answer, _ in await find(archive, "", StudyDate="")] == [status.DATA_SET_MISMATCH]
    assert [answer for answer, _ in await find(archive, "PATIENT", PatientID="")] == [status.DATA_SET_MISMATCH]
    assert [answer for answer, _ in await find(archive, "STUDY", StudyTime="noon")] == [status.CANNOT_UNDERSTAND]
    association = await archive.associate([(STUDY_ROOT, [ExplicitVRLittleEndian])])
    (context,) = association.contexts.values()
    for data, expected in ((b"\x08\x00", status.CANNOT_UNDERSTAND), (b"\0" * 300_000, status.CANNOT_UNDERSTAND)):
        request = Command(CommandField.C_FIND, affected_sop_class_uid=STUDY_ROOT, message_id=1, priority=0)
        await association.send(context, request, data)
        answer = await association.receive()
        assert answer is not None
        assert (answer.command.status, bool(answer.command.error_comment)) == (expected, True)
    store = Command(CommandField.C_STORE, affected_sop_class_uid=CTImageStorage, message_id=2, priority=0)
    await association.send(context, store, b"\0\0")
    answer = await association.receive()
    assert answer is not None
    assert answer.command.status == status.SOP_CLASS_NOT_SUPPORTED
    await association.release()


async def test_many_matches_come_over_many_pages_and_a_cancel_ends_them(archive: Archive) -> None:
    await keep(archive, *(ct("1.2.9", "1.2.9.1", f"1.2.9.1.{n}", InstanceNumber=n) for n in range(1, 451)))
    uids = matched(await find(archive, "IMAGE", StudyInstanceUID="1.2.9"), "SOPInstanceUID")
    assert uids == [f"1.2.9.1.{n}" for n in range(1, 451)]

    def cancel_soon(association: Modality) -> list[int]:
        identifier = Dataset()
        identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "IMAGE", "1.2.9"
        statuses: list[int] = []
        for answer, _ in association.send_c_find(identifier, STUDY_ROOT, msg_id=7):
            statuses.append(answer.Status)
            if len(statuses) == 1:
                association.send_c_cancel(7, query_model=STUDY_ROOT)
        return statuses

    statuses = await archive.talk([(STUDY_ROOT, [ExplicitVRLittleEndian])], cancel_soon)
    assert set(statuses[:-1]) == {status.PENDING}
    assert statuses[-1] in (status.CANCELLED, status.SUCCESS)  # it may have been at its end before the cancel came


async def test_a_cancel_that_came_before_the_first_match_ends_the_search(archive: Archive) -> None:
    await keep(archive, *(study(number) for number in range(4)))
    association = await archive.associate([(STUDY_ROOT, [ExplicitVRLittleEndian])])
    (context,) = association.contexts.values()
    asked = encode_identifier([Element(0x00080052, "CS", "STUDY")], EXPLICIT_VR_LITTLE_ENDIAN)
    await association.send(
        context, Command(CommandField.C_FIND, affected_sop_class_uid=STUDY_ROOT, message_id=5, priority=0), asked
    )
    await association.send(context, Command(CommandField.C_CANCEL, message_id_responded_to=5))
    answers = []
    while (message := await association.receive()) is not None:
        answers.append(message.command.status)
        if message.data is not None:
            await message.data.skip()
        if answers[-1] not in (status.PENDING, status.PENDING_WITHOUT_SOME_KEYS):
            break
    assert answers == [status.CANCELLED]
    await association.release()
