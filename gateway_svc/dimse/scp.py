"""What we do as SCP: each request of an association, one after the other, to its answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from gateway_svc.dimse import status
from gateway_svc.dimse.association import Association, Message
from gateway_svc.dimse.c_find import c_find
from gateway_svc.dimse.c_get import c_get
from gateway_svc.dimse.c_move import c_move
from gateway_svc.dimse.c_store import HeldBytes, c_store
from gateway_svc.dimse.command import RESPONSE, Command, CommandField
from gateway_svc.dimse.commitment_reports import CommitmentReports
from gateway_svc.dimse.connection import Caller
from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.ledger import Ledger
from gateway_svc.dimse.n_action import n_action
from gateway_svc.dimse.pdu import AbortReason
from gateway_svc.dimse.remote_aes import RemoteAes
from gateway_svc.dimse.sop_classes import Verb, service_verb
from gateway_svc.dimse.storage_upload import StorageUpload
from imaging.errors import ImagingError, Internal

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_log = logging.getLogger(__name__)

_VERBS: Final[Mapping[int, Verb]] = {
    CommandField.C_ECHO: Verb.ECHO,
    CommandField.C_FIND: Verb.FIND,
    CommandField.C_MOVE: Verb.MOVE,
    CommandField.C_GET: Verb.GET,
    CommandField.N_ACTION: Verb.COMMIT,
}
"""What the class of a presentation context must allow for a request. Storage looks at its own more closely."""


@dataclass(slots=True)
class _Session:
    """An association while it is served, and what it came to, for its span and its line in the log."""

    association: Association
    caller: Caller
    upload: StorageUpload
    reports: CommitmentReports
    requests: int = 0
    failed: int = 0


class Scp:
    """Serves associations.

    Parameters
    ----------
    storage
        Where instances come from and go to.
    remote_aes
        Whom we may call, and by what name.
    ledger
        Where is written down what is owed.
    answer_seconds
        Longest wait for storage.
    """

    def __init__(self, storage: StorageStub, *, remote_aes: RemoteAes, ledger: Ledger, answer_seconds: float) -> None:
        self._storage = storage
        self._ledger = ledger
        self._remote_aes = remote_aes
        self._answer_seconds = answer_seconds
        self._held = HeldBytes()

    async def serve(self, association: Association, caller: Caller) -> None:
        """Answer requests until the peer releases the association.

        Raises
        ------
        AssociationLost
            If it ends in another way.
        """
        session = _Session(
            association,
            caller,
            StorageUpload(self._storage, answer_seconds=self._answer_seconds),
            CommitmentReports(self._storage, self._ledger, self._remote_aes.ae_title, caller.ae_title),
        )
        with trace.get_tracer("gateway_svc.dimse").start_as_current_span(
            "DIMSE association",
            kind=SpanKind.SERVER,
            attributes={"imaging.ae_title": caller.ae_title, "network.peer.address": caller.host},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                while (message := await association.next_request()) is not None:
                    await self._answer(session, message)
                    await session.reports.report(association, session.requests & 0xFFFF)
            finally:
                await session.upload.close()
                await session.reports.close()
                span.set_attribute("imaging.requests", session.requests)
                span.set_attribute("imaging.failed_requests", session.failed)
                if session.requests or session.failed:
                    _log.info(
                        "an association ended",
                        extra={"ae_title": caller.ae_title, "requests": session.requests, "failed": session.failed},
                    )

    async def _answer(self, session: _Session, message: Message) -> None:
        association, command = session.association, message.command
        if command.command_field == CommandField.N_EVENT_REPORT | RESPONSE:
            is_success = command.status == status.SUCCESS
            if not await session.reports.answered(command.message_id_responded_to or 0, is_success=is_success):
                association.abort(AbortReason.UNEXPECTED_PARAMETER, why="an answer to nothing")
                raise AssociationLost("an answer to nothing")
            if message.data is not None:
                await message.data.skip()
            return
        if command.is_response or command.message_id is None:
            association.abort(AbortReason.UNEXPECTED_PARAMETER, why="a message that is no request")
            raise AssociationLost("a message that is no request")
        session.requests += 1
        data: bytes | None = None
        try:
            response, data = await self._response(session, message)
        except ImagingError as error:
            session.failed += 1
            _log.warning(
                "a request was refused",
                extra={
                    "ae_title": session.caller.ae_title,
                    "request": _name(command),
                    "reason": error.reason,
                    "error": error.text,
                },
            )
            response = command.response(status.status_of(error), status.comment_of(error))
        except AssociationLost:
            raise
        except Exception:  # noqa: BLE001 - the association and its other requests go on
            session.failed += 1
            _log.exception("unforeseen error in a request", extra={"request": _name(command)})
            response = command.response(status.PROCESSING_FAILURE, Internal("The service met a defect").what)
        if message.data is not None and not message.data.is_whole:
            await message.data.skip()
        await association.send(message.context, response, data)

    async def _response(self, session: _Session, message: Message) -> tuple[Command, bytes | None]:
        association, caller, command = session.association, session.caller, message.command
        if not message.context.is_scp:
            return command.response(status.SOP_CLASS_NOT_SUPPORTED, "Not the role that was negotiated"), None
        verb = _VERBS.get(command.command_field)
        if verb is not None and service_verb(message.context.abstract_syntax) is not verb:
            return command.response(
                status.SOP_CLASS_NOT_SUPPORTED, "The presentation context is of another class"
            ), None
        match command.command_field:
            case CommandField.C_ECHO:
                return command.response(status.SUCCESS), None
            case CommandField.C_STORE:
                return await c_store(message, session.upload, caller.ae_title, self._held), None
            case CommandField.C_FIND:
                return await c_find(message, association, self._storage, self._remote_aes.ae_title), None
            case CommandField.C_MOVE:
                return await c_move(message, association, self._storage, self._remote_aes, caller.ae_title)
            case CommandField.C_GET:
                return await c_get(message, association, self._storage, caller.ae_title)
            case CommandField.N_ACTION:
                answer, request = await n_action(message)
                if request is not None:
                    await session.reports.promise(request, message.context)
                return answer, None
            case _:
                return command.response(status.UNRECOGNIZED_OPERATION), None


def _name(command: Command) -> str:
    try:
        return CommandField(command.command_field).name
    except ValueError:
        return f"{command.command_field:#06x}"
