"""An association that we ask for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway_svc.dimse.associate_pdu import (
    AssociateAccept,
    AssociateRequest,
    ProposedContext,
    Role,
    UserInformation,
    decode_accept,
    encode_request,
)
from gateway_svc.dimse.association import Association, Context
from gateway_svc.dimse.pdu import DEFAULT_MAX_LENGTH, AbortReason, InvalidPdu, PduType, abort_pdu
from gateway_svc.dimse.pdu_stream import PduStream, ReceiveBuffer
from imaging.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import FailedPrecondition, ImagingError, Overloaded, Unavailable
from imaging.rpc.loopback import split_address

MOST_CONTEXTS: Final = 128
"""Of one association: their ids are the odd numbers of a byte."""

UNCOMPRESSED: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""Transfer syntaxes that every AE understands, the one that is better first."""

_REASONS: Final = {
    (1, 2): "it does not know the application context",
    (1, 3): "it does not know our AE title",
    (1, 7): "it is not the AE that was called",
    (2, 2): "it does not speak this version of the protocol",
    (3, 1): "it is congested",
    (3, 2): "it has as many associations as it takes",
}
"""By source and reason (PS3.8 9.3.4)."""


@dataclass(frozen=True, slots=True)
class RemoteAe:
    """An AE to call."""

    address: str
    """`host:port`."""
    ae_title: str
    tls: ssl.SSLContext | None = None


async def associate(
    remote: RemoteAe,
    calling_ae_title: str,
    proposed: Sequence[tuple[str, Sequence[str]]],
    *,
    roles: Mapping[str, Role] | None = None,
    timeout_seconds: float = 20.0,
) -> Association:
    """An established association.

    Parameters
    ----------
    proposed
        Abstract syntax and transfer syntaxes of each presentation context, at most `MOST_CONTEXTS`.
    roles
        What we are, by SOP Class; SCU where nothing is said.
    timeout_seconds
        For connection and answer together.

    Raises
    ------
    Unavailable
        If nobody answers there, or not like an AE.
    FailedPrecondition
        If the peer rejects us, and would again.
    Overloaded
        If it rejects us for now.
    """
    contexts = tuple(
        ProposedContext(2 * number + 1, abstract, tuple(transfer))
        for number, (abstract, transfer) in enumerate(proposed)
    )
    user = UserInformation(
        DEFAULT_MAX_LENGTH, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, tuple((roles or {}).items())
    )
    request = AssociateRequest(remote.ae_title, calling_ae_title, contexts, user)
    host, port = split_address(remote.address)
    handshake = _Handshake(remote)
    stream: PduStream | None = None
    try:
        async with asyncio.timeout(timeout_seconds):
            _, stream = await asyncio.get_running_loop().create_connection(
                lambda: PduStream(ReceiveBuffer(), handshake),
                host,
                port,
                ssl=remote.tls,
                server_hostname=host if remote.tls is not None else None,
            )
            handshake.stream = stream
            stream.write((encode_request(request),))
            accept = await handshake.answer
        return Association(stream, _contexts(request, accept), accept.user.max_length)
    except TimeoutError:
        raise Unavailable(
            f"The AE does not answer within {timeout_seconds:g} s",
            where=_place(remote),
            hint="Is it running, and does no firewall stand between?",
        ) from None
    except InvalidPdu as error:
        raise Unavailable(f"The peer does not speak DICOM as it should: {error}", where=_place(remote)) from None
    except OSError as error:
        raise Unavailable(
            f"No connection to the AE ({_reason(error)})",
            where=_place(remote),
            hint="Check its address, that it runs, and that both sides use TLS, or neither.",
        ) from None
    finally:
        if stream is not None and stream.handler is handshake:
            stream.drop()


def _contexts(request: AssociateRequest, accept: AssociateAccept) -> dict[int, Context]:
    """The accepted contexts; as requestor we are SCU unless we asked to be SCP too and the peer agreed."""
    proposed = {context.id: context for context in request.contexts}
    asked, agreed = dict(request.user.roles), dict(accept.user.roles)
    found: dict[int, Context] = {}
    for result in accept.contexts:
        ours = proposed.get(result.id)
        if result.result != 0 or ours is None or result.transfer_syntax not in ours.transfer_syntaxes:
            continue
        role = agreed.get(ours.abstract_syntax, Role(is_scu=True, is_scp=False))
        if ours.abstract_syntax not in asked:
            role = Role(is_scu=True, is_scp=False)
        found[result.id] = Context(
            result.id, ours.abstract_syntax, result.transfer_syntax, is_scu=role.is_scu, is_scp=role.is_scp
        )
    return found


class _Handshake:
    """Waits for the answer to our request."""

    def __init__(self, remote: RemoteAe) -> None:
        self.stream: PduStream | None = None
        self.answer: asyncio.Future[AssociateAccept] = asyncio.get_running_loop().create_future()
        self._remote = remote

    def pdu_received(self, kind: PduType, body: bytes) -> None:
        """The answer."""
        if kind is PduType.ASSOCIATE_AC:
            accept = decode_accept(body)
            # Nothing more is read until the association takes over.
            if self.stream is not None:
                self.stream.pause()
            if not self.answer.done():
                self.answer.set_result(accept)
        elif kind is PduType.ASSOCIATE_RJ:
            self._fail(_rejected(body, self._remote))
        elif kind is PduType.ABORT:
            self._fail(Unavailable("The AE has aborted the association", where=_place(self._remote)))
        else:
            raise InvalidPdu(f"a PDU of type {int(kind)} before an association", AbortReason.UNEXPECTED_PDU)

    def fragment_received(self, context_id: int, control: int, content: bytes, *, ends: bool) -> None:
        """Data before an association: has no place here."""
        raise InvalidPdu("data before an association", AbortReason.UNEXPECTED_PDU)

    def pdu_refused(self, error: InvalidPdu) -> None:
        """The peer is no AE."""
        if self.stream is not None:
            self.stream.write((abort_pdu(error.reason),))
        if not self.answer.done():
            self.answer.set_exception(error)

    def connection_lost(self) -> None:
        """It was closed without an answer."""
        self._fail(
            Unavailable(
                "The connection was closed before the AE had answered",
                where=_place(self._remote),
                hint="Does a DICOM AE listen there, and do both sides use TLS, or neither?",
            )
        )

    def _fail(self, error: ImagingError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # nobody may be waiting for it any more


def _rejected(body: bytes, remote: RemoteAe) -> ImagingError:
    result, source, reason = body[1:4] if len(body) == 4 else (1, 1, 1)
    why = _REASONS.get((source, reason), "it gives no reason")
    what, where = f"The AE rejects the association: {why}", _place(remote)
    if result == 2:
        return Overloaded(what, where=where, hint="Try again later.", retry_after_seconds=5.0)
    return FailedPrecondition(
        what, where=where, hint="Let its administrator enter our AE title and address, and check the AE title called."
    )


def _place(remote: RemoteAe) -> str:
    return f"{remote.ae_title}@{remote.address}"


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS failed").lower().replace("_", " ")
    return error.strerror or type(error).__name__
