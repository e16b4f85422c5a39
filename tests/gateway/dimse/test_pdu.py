"""PDUs and command sets: what was written is read again, and what pynetdicom writes; nothing malformed passes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import build_context, build_role
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

from gateway_svc.dimse.associate_pdu import (
    AssociateAccept,
    AssociateRequest,
    ContextResult,
    ProposedContext,
    Role,
    UserInformation,
    decode_accept,
    decode_request,
    encode_accept,
    encode_request,
)
from gateway_svc.dimse.command import Command, CommandField, decode_command, encode_command
from gateway_svc.dimse.pdu import HEADER, PDV_HEADER, InvalidPdu, PduType
from gateway_svc.dimse.pdu_stream import PduStream, ReceiveBuffer

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
REQUEST = AssociateRequest(
    called_ae_title="ARCHIVE",
    calling_ae_title="CT 1",
    contexts=(
        ProposedContext(1, CT, (ExplicitVRLittleEndian, JPEGBaseline8Bit)),
        ProposedContext(3, MR, (ImplicitVRLittleEndian,)),
    ),
    user=UserInformation(16384, "1.2.3", "TEST", ((CT, Role(is_scu=True, is_scp=True)),)),
)
ACCEPT = AssociateAccept(
    "ARCHIVE",
    "CT 1",
    (ContextResult(1, 0, ExplicitVRLittleEndian), ContextResult(3, 4, ImplicitVRLittleEndian)),
    UserInformation(131072, "1.2.3", "TEST"),
)


def body(pdu: bytes) -> bytes:
    kind, length = HEADER.unpack_from(pdu)
    assert kind in (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC)
    assert length == len(pdu) - HEADER.size
    return pdu[HEADER.size :]


def test_what_is_written_is_read_again() -> None:
    assert decode_request(body(encode_request(REQUEST))) == REQUEST
    assert decode_accept(body(encode_accept(ACCEPT))) == ACCEPT


def test_pynetdicom_reads_what_we_write() -> None:
    request = A_ASSOCIATE_RQ()
    request.decode(encode_request(REQUEST))
    primitive = request.to_primitive()
    assert (primitive.calling_ae_title, primitive.called_ae_title) == ("CT 1", "ARCHIVE")
    assert [context.abstract_syntax for context in primitive.presentation_context_definition_list] == [CT, MR]
    assert primitive.maximum_length_received == 16384
    accept = A_ASSOCIATE_AC()
    accept.decode(encode_accept(ACCEPT))
    results = accept.to_primitive().presentation_context_definition_results_list
    assert [context.result for context in results] == [0, 4]


def test_we_read_what_pynetdicom_writes() -> None:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "CT 1", "ARCHIVE"
    one, two = build_context(CT, [ExplicitVRLittleEndian, JPEGBaseline8Bit]), build_context(MR, ImplicitVRLittleEndian)
    one.context_id, two.context_id = 1, 3
    primitive.presentation_context_definition_list = [one, two]
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, implementation.implementation_class_uid = 16384, "1.2.3"
    primitive.user_information = [length, implementation, build_role(CT, scu_role=True, scp_role=True)]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    found = decode_request(body(pdu.encode()))
    assert replace(found, user=replace(found.user, implementation_version_name="TEST")) == REQUEST


def test_two_hundred_contexts_are_refused_and_sixty_four_kilobytes_of_user_information_are_not() -> None:
    many = replace(
        REQUEST, contexts=tuple(ProposedContext(n % 256 | 1, CT, (ExplicitVRLittleEndian,)) for n in range(200))
    )
    with pytest.raises(InvalidPdu, match="same id"):
        decode_request(body(encode_request(many)))
    roles = tuple((f"1.2.3.{number}", Role(is_scu=True, is_scp=False)) for number in range(3500))
    large = replace(REQUEST, user=replace(REQUEST.user, roles=roles))
    assert len(decode_request(body(encode_request(large))).user.roles) == 3500


def test_ae_titles_with_other_characters_come_escaped() -> None:
    pdu = bytearray(body(encode_request(REQUEST)))
    pdu[4:20] = b"\xc4RZTE\x1b[31m\0%s%n  "[:16].ljust(16)
    assert decode_request(bytes(pdu)).called_ae_title == "\\xc4RZTE\x1b[31m %s%n"


@given(st.integers(0, 400), st.binary(min_size=0, max_size=6))
def test_a_damaged_request_is_read_or_refused(place: int, damage: bytes) -> None:
    pdu = body(encode_request(REQUEST))
    for changed in (pdu[:place], pdu[:place] + damage + pdu[place + len(damage) :]):
        try:
            decode_request(changed)
        except InvalidPdu:
            continue


@given(st.binary(max_size=200))
def test_any_bytes_as_a_command_set_are_read_or_refused(content: bytes) -> None:
    try:
        decode_command(content)
    except InvalidPdu:
        return


def test_a_command_is_read_as_it_was_written() -> None:
    command = Command(
        CommandField.C_STORE,
        affected_sop_class_uid=CT,
        affected_sop_instance_uid="1.2.3",
        message_id=7,
        priority=1,
        has_data_set=True,
        move_originator_ae_title="MOVER",
        move_originator_message_id=3,
    )
    assert decode_command(encode_command(command)) == command
    answer = command.response(0xA700, "x" * 100)
    assert decode_command(encode_command(answer)) == replace(answer, error_comment="x" * 64)
    assert not answer.has_data_set


class Heard:
    """A handler that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.data = b""

    def pdu_received(self, kind: PduType, body: bytes) -> None:
        self.told.append((kind, body))

    def fragment_received(self, context_id: int, control: int, content: bytes, *, ends: bool) -> None:
        self.data += content
        if ends:
            self.told.append((context_id, control, self.data))
            self.data = b""

    def pdu_refused(self, error: InvalidPdu) -> None:
        self.told.append(str(error))

    def connection_lost(self) -> None:
        pass


def pieces(content: bytes, sizes: list[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        if start < len(content):
            yield content[start : start + size]
        start += size
    yield content[start:]


def pdv(context_id: int, control: int, content: bytes) -> bytes:
    return PDV_HEADER.pack(len(content) + 2, context_id, control) + content


def pdu(kind: int, content: bytes) -> bytes:
    return HEADER.pack(kind, len(content)) + content


@given(st.lists(st.integers(1, 40), max_size=60))
def test_pdus_are_the_same_however_their_bytes_come(sizes: list[int]) -> None:
    content = (
        pdu(PduType.RELEASE_RQ, bytes(4))
        + pdu(PduType.P_DATA_TF, pdv(1, 3, b"command") + pdv(1, 0, b"") + pdv(1, 0, b"first"))
        + pdu(PduType.P_DATA_TF, pdv(1, 2, b"x" * 300))
        + pdu(PduType.P_DATA_TF, b"")
        + pdu(PduType.ABORT, b"\0\0\2\0")
    )

    async def feed() -> list[object]:
        buffer, heard = ReceiveBuffer(1024), Heard()
        stream = PduStream(buffer, heard)
        for piece in pieces(content, sizes):
            buffer.view[: len(piece)] = piece
            stream.buffer_updated(len(piece))
        return heard.told

    assert asyncio.run(feed()) == [
        (PduType.RELEASE_RQ, bytes(4)),
        (1, 3, b"command"),
        (1, 0, b""),
        (1, 0, b"first"),
        (1, 2, b"x" * 300),
        (PduType.ABORT, b"\0\0\2\0"),
    ]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"G", "no DICOM"),
        (b"GET / HTTP/1.1\r\n", "no DICOM"),
        (b"\x16\x03\x01\x02\x00\x01", "no DICOM"),
        (HEADER.pack(PduType.P_DATA_TF, 0xFFFFFFFF), "declares 4294967295 bytes"),
        (HEADER.pack(PduType.ASSOCIATE_RQ, 2**20), "declares 1048576 bytes"),
        (HEADER.pack(PduType.RELEASE_RQ, 8), "declares 8 bytes"),
        (pdu(PduType.P_DATA_TF, PDV_HEADER.pack(100, 1, 3)), "longer than its PDU"),
        (pdu(PduType.P_DATA_TF, PDV_HEADER.pack(1, 1, 3)), "longer than its PDU"),
    ],
)
async def test_what_is_no_dicom_is_refused_at_its_first_bytes(sent: bytes, told: str) -> None:
    buffer, heard = ReceiveBuffer(1024), Heard()
    stream = PduStream(buffer, heard)
    buffer.view[: len(sent)] = sent
    stream.buffer_updated(len(sent))
    (text,) = heard.told
    assert told in str(text)
    buffer.view[:10] = pdu(PduType.RELEASE_RQ, bytes(4))
    stream.buffer_updated(10)
    assert len(heard.told) == 1, "nothing more is read"
