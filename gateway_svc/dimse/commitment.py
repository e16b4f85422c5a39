"""Storage commitment (PS3.4 J): what is asked for is read back from storage and compared with its digest, then told."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.identifier import Element, encode_identifier, encode_sequence
from gateway_svc.dimse.sop_classes import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from gateway_svc.dimse.stored_object import StoredObject, UpcomingObjects
from gateway_svc.index_search import search_page
from imaging.dicom.json_model import JsonModels
from imaging.dicom.uid import is_valid_uid
from imaging.errors import DataLoss, InvalidArgument, InvalidDicom
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of the data set of a request: more than a hundred thousand instances."""

PROCESSING_FAILURE, NO_SUCH_OBJECT_INSTANCE, CLASS_INSTANCE_CONFLICT = 0x0110, 0x0112, 0x0119
"""Failure Reason (0008,1197), as PS3.3 C.14.1.1 has them."""

_TRANSACTION_UID, _RETRIEVE_AE_TITLE, _FAILURE_REASON = 0x00081195, 0x00080054, 0x00081197
_SOP_CLASS, _SOP_INSTANCE = 0x00081150, 0x00081155
_FAILED_SEQUENCE, _REFERENCED_SEQUENCE = 0x00081198, 0x00081199
_UIDS_AT_ONCE: Final = 100

Reference = tuple[str, str]
"""SOP Class UID, SOP Instance UID."""


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What an SCU wants to be sure of."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What became of it."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...]
    """With Failure Reason."""

    @property
    def event_type_id(self) -> int:
        """1 all are committed, 2 some are not (PS3.4 J.3.3.1)."""
        return 2 if self.failed else 1

    def command(self, message_id: int) -> Command:
        """The N-EVENT-REPORT (PS3.7 10.3.1)."""
        return Command(
            CommandField.N_EVENT_REPORT,
            affected_sop_class_uid=STORAGE_COMMITMENT,
            affected_sop_instance_uid=STORAGE_COMMITMENT_INSTANCE,
            message_id=message_id,
            event_type_id=self.event_type_id,
        )

    def encoded(self, ae_title: str, transfer_syntax_uid: str) -> bytes:
        """The data set of an N-EVENT-REPORT."""

        def item(reference: Reference, reason: int | None) -> bytes:
            elements = [Element(_SOP_CLASS, "UI", reference[0]), Element(_SOP_INSTANCE, "UI", reference[1])]
            if reason is not None:
                elements.append(Element(_FAILURE_REASON, "US", str(reason)))
            return encode_identifier(elements, transfer_syntax_uid)

        head = [Element(_RETRIEVE_AE_TITLE, "AE", ae_title), Element(_TRANSACTION_UID, "UI", self.transaction_uid)]
        failed = [item(reference, reason) for reference, reason in self.failed]
        committed = [item(reference, None) for reference in self.committed]
        return b"".join(
            (
                encode_identifier(head, transfer_syntax_uid),
                encode_sequence(_FAILED_SEQUENCE, failed, transfer_syntax_uid) if failed else b"",
                encode_sequence(_REFERENCED_SEQUENCE, committed, transfer_syntax_uid) if committed else b"",
            )
        )


def read_request(content: bytes, transfer_syntax_uid: str) -> CommitmentRequest:
    """The request of an N-ACTION.

    Raises
    ------
    InvalidArgument
        If it has no transaction or no instances, or is not well-formed.
    """
    try:
        model: dict[str, Any] = json.loads(JsonModels().model(content, transfer_syntax_uid).content)
    except InvalidDicom as error:
        raise InvalidArgument("The data set is not well-formed", where=error.where) from None
    items = model.get(f"{_REFERENCED_SEQUENCE:08X}", {}).get("Value") or []
    references = tuple((_uid(item, _SOP_CLASS), _uid(item, _SOP_INSTANCE)) for item in items)
    transaction = _uid(model, _TRANSACTION_UID)
    uids = (transaction, *(uid for reference in references for uid in reference))
    if not references or not all(map(is_valid_uid, uids)):
        raise InvalidArgument(
            "The Transaction UID, or a Referenced SOP Class or Instance UID, is missing or no UID",
            where="(0008,1195), (0008,1199)",
            hint="Name a transaction, and each instance by class and UID.",
        )
    return CommitmentRequest(transaction, references)


async def read_back(storage: StorageStub, request: CommitmentRequest) -> CommitmentReport:
    """Read every instance and compare it with the digest that it was stored under.

    Raises
    ------
    ImagingError
        If storage cannot be asked: then nothing is known, and nothing must be told.
    """
    committed: list[Reference] = []
    failed: list[tuple[Reference, int]] = []
    for start in range(0, len(request.references), _UIDS_AT_ONCE):
        part = request.references[start : start + _UIDS_AT_ONCE]
        known = await _known(storage, part)
        wanted = [known[uid].name for sop_class, uid in part if uid in known and known[uid].sop_class_uid == sop_class]
        with closing(UpcomingObjects(storage, [pb.RetrieveInstancesRequest(name=name) for name in wanted])) as upcoming:
            for reference in part:
                instance = known.get(reference[1])
                if instance is None:
                    failed.append((reference, NO_SUCH_OBJECT_INSTANCE))
                elif instance.sop_class_uid != reference[0]:
                    failed.append((reference, CLASS_INSTANCE_CONFLICT))
                elif await _is_intact(upcoming.take(), instance):
                    committed.append(reference)
                else:
                    failed.append((reference, PROCESSING_FAILURE))
    return CommitmentReport(request.transaction_uid, tuple(committed), tuple(failed))


async def _known(storage: StorageStub, references: Sequence[Reference]) -> dict[str, storage_pb2.Instance]:
    uids = list(dict.fromkeys(uid for _, uid in references))
    key = pb.MatchKey(keyword="SOPInstanceUID", value="\\".join(uids))
    page, _ = await search_page(storage, "", 3, [key], _UIDS_AT_ONCE, "")
    return {instance.sop_instance_uid: instance for instance in page}


async def _is_intact(stored: StoredObject, instance: storage_pb2.Instance) -> bool:
    digest = hashlib.sha256()
    try:
        data = await stored.data_set()
        if isinstance(data, bytes):
            digest.update(data)
        else:
            async for piece in data:
                digest.update(piece)
                await asyncio.sleep(0)
    except DataLoss:
        return False
    return digest.hexdigest() == instance.data_set_sha256


def _uid(model: dict[str, Any], tag: int) -> str:
    values = model.get(f"{tag:08X}", {}).get("Value") or [""]
    return str(values[0])
