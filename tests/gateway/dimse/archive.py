"""An archive under test, pynetdicom as the modality that talks to it, and messages that no good modality sends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pynetdicom import AE
from pynetdicom.association import Association as Modality

from gateway_svc.dimse.association import Association
from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.requestor import RemoteAe, associate
from imaging.client.storage import StorageClient
from imaging.dicom.file_meta import read_file_meta
from imaging.settings import Settings

T = TypeVar("T")
Contexts = Sequence[tuple[str, Sequence[str]]]
"""Abstract syntax, and transfer syntaxes."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A running archive."""

    client: StorageClient
    settings: Settings

    @property
    def address(self) -> str:
        """`host:port` of DIMSE."""
        return self.settings.gateway.dimse_address

    @property
    def port(self) -> int:
        """The port of DIMSE."""
        return int(self.address.rpartition(":")[2])

    async def talk(self, contexts: Contexts, do: Callable[[Modality], T], **how: Any) -> T:
        """What `do` returns of an association; pynetdicom blocks, so in a thread."""

        def run() -> T:
            with associated(self.port, contexts, **how) as association:
                assert association.is_established, "no association"
                return do(association)

        return await asyncio.to_thread(run)

    async def associate(self, contexts: Contexts) -> Association:
        """An association of our own, for what pynetdicom would not send."""
        return await associate(RemoteAe(self.address, "ANY-SCP"), "ODD", contexts)

    async def objects(self, name: str) -> dict[str, bytes]:
        """The stored bytes by SOP Instance UID."""
        return {instance.sop_instance_uid: content async for instance, content in self.client.retrieve_instances(name)}

    async def study_uids(self) -> list[str]:
        """What is visible."""
        return [study.study_instance_uid async for study in self.client.search_studies()]


@contextmanager
def associated(
    port: int, contexts: Contexts, *, ae_title: str = "MODALITY", called: str = "ANY-SCP", **how: Any
) -> Iterator[Modality]:
    """An association of pynetdicom, established or not; released at the end."""
    entity = AE(ae_title=ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    for abstract_syntax, transfer_syntaxes in contexts:
        entity.add_requested_context(abstract_syntax, list(transfer_syntaxes))
    association = entity.associate("127.0.0.1", port, ae_title=called, **how)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def send_files(files: Sequence[Path]) -> Callable[[Modality], list[int]]:
    """Sends files as they are; the statuses."""
    return lambda association: [association.send_c_store(file).Status for file in files]


async def c_store(
    association: Association, sop_class_uid: str, sop_instance_uid: str, data: bytes | AsyncIterable[bytes] | None
) -> int:
    """The status of a C-STORE with the given command, whatever the data set is."""
    (context,) = association.contexts.values()
    command = Command(
        CommandField.C_STORE,
        affected_sop_class_uid=sop_class_uid,
        affected_sop_instance_uid=sop_instance_uid,
        message_id=1,
        priority=0,
    )
    await association.send(context, command, data)
    answer = await association.receive()
    assert answer is not None
    assert answer.command.status is not None
    assert answer.command.message_id_responded_to == 1
    return answer.command.status


def data_set_of(part10: bytes) -> bytes:
    """The data set of a file, as it was encoded."""
    return part10[read_file_meta(part10).end :]
