"""The other end of C-GET, C-MOVE and sending: a storage SCP of pynetdicom, and what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    CTImageStorage,
)

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
