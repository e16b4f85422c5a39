"""A-ASSOCIATE-RQ and -AC as values and as bytes (PS3.8 9.3.2, 9.3.3 and D).

A library for this exists; it takes 24 ms for the 128 contexts that `storescu` proposes, which is more than it takes to
store some slices, and senders exist that open an association for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from gateway_svc.dimse.pdu import HEADER, InvalidPdu, PduType

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
"""DICOM's only one (PS3.7 A.2.1)."""

_FIXED = Struct(">HH16s16s32x")
_ITEM = Struct(">BxH")
_U16 = Struct(">H")
_U32 = Struct(">I")

_APPLICATION_CONTEXT_ITEM = 0x10
_PROPOSED_CONTEXT_ITEM = 0x20
_CONTEXT_RESULT_ITEM = 0x21
_ABSTRACT_SYNTAX = 0x30
_TRANSFER_SYNTAX = 0x40
_USER_INFORMATION = 0x50
_MAX_LENGTH = 0x51
_IMPLEMENTATION_CLASS_UID = 0x52
_ROLE_SELECTION = 0x54
_IMPLEMENTATION_VERSION_NAME = 0x55


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context as the requestor proposes it."""

    id: int
    """Odd, 1 to 255."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContextResult:
    """What the acceptor says of a presentation context."""

    id: int
    result: int
    """0 accepted, 1 user rejection, 2 no reason, 3 abstract syntax not supported, 4 transfer syntaxes not supported."""

    transfer_syntax: str
    """Not significant unless accepted."""


@dataclass(frozen=True, slots=True)
class Role:
    """What the requestor is in a SOP Class (PS3.7 D.3.3.4); without one it is SCU alone."""

    is_scu: bool
    is_scp: bool


@dataclass(frozen=True, slots=True)
class UserInformation:
    """What each side tells of itself."""

    max_length: int
    """Longest P-DATA-TF that it takes; 0: any."""

    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    roles: tuple[tuple[str, Role], ...] = ()
    """By SOP Class UID."""


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ. AE titles come without padding, bytes other than ASCII escaped."""

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """A-ASSOCIATE-AC. The AE titles are an echo that nobody may test."""

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ContextResult, ...]
    user: UserInformation


def encode_request(request: AssociateRequest) -> bytes:
    """The PDU."""
    contexts = b"".join(
        _item(
            _PROPOSED_CONTEXT_ITEM,
            bytes((context.id, 0, 0, 0))
            + _text_item(_ABSTRACT_SYNTAX, context.abstract_syntax)
            + b"".join(_text_item(_TRANSFER_SYNTAX, uid) for uid in context.transfer_syntaxes),
        )
        for context in request.contexts
    )
    return _pdu(
        PduType.ASSOCIATE_RQ, request.called_ae_title, request.calling_ae_title, contexts, _user_item(request.user)
    )


def encode_accept(accept: AssociateAccept) -> bytes:
    """The PDU."""
    contexts = b"".join(
        _item(
            _CONTEXT_RESULT_ITEM,
            bytes((context.id, 0, context.result, 0)) + _text_item(_TRANSFER_SYNTAX, context.transfer_syntax),
        )
        for context in accept.contexts
    )
    return _pdu(
        PduType.ASSOCIATE_AC, accept.called_ae_title, accept.calling_ae_title, contexts, _user_item(accept.user)
    )


def decode_request(body: bytes) -> AssociateRequest:
    """The value of a PDU body (what follows its header).

    Raises
    ------
    InvalidPdu
        If it does not follow PS3.8.
    """
    version, called, calling, items = _fixed(body)
    contexts: list[ProposedContext] = []
    application_context, user = "", UserInformation(0)
    for kind, content in items:
        if kind == _APPLICATION_CONTEXT_ITEM:
            application_context = _uid(content)
        elif kind == _PROPOSED_CONTEXT_ITEM:
            contexts.append(_proposed(content))
        elif kind == _USER_INFORMATION:
            user = _user(content)
    if len({context.id for context in contexts}) != len(contexts):
        raise InvalidPdu("two presentation contexts have the same id")
    return AssociateRequest(called, calling, tuple(contexts), user, application_context, version)


def decode_accept(body: bytes) -> AssociateAccept:
    """The value of a PDU body (what follows its header).

    Raises
    ------
    InvalidPdu
        If it does not follow PS3.8.
    """
    _, called, calling, items = _fixed(body)
    contexts: list[ContextResult] = []
    user = UserInformation(0)
    for kind, content in items:
        if kind == _CONTEXT_RESULT_ITEM:
            if len(content) < 4:
                raise InvalidPdu("a presentation context item is too short")
            syntaxes = [_uid(value) for sub, value in _items(content[4:]) if sub == _TRANSFER_SYNTAX]
            contexts.append(ContextResult(content[0], content[2], syntaxes[0] if syntaxes else ""))
        elif kind == _USER_INFORMATION:
            user = _user(content)
    return AssociateAccept(called, calling, tuple(contexts), user)


def _pdu(kind: PduType, called: str, calling: str, contexts: bytes, user: bytes) -> bytes:
    body = (
        _FIXED.pack(1, 0, _ae_bytes(called), _ae_bytes(calling))
        + _text_item(_APPLICATION_CONTEXT_ITEM, APPLICATION_CONTEXT)
        + contexts
        + user
    )
    return HEADER.pack(kind, len(body)) + body


def _user_item(user: UserInformation) -> bytes:
    parts = [
        _item(_MAX_LENGTH, _U32.pack(user.max_length)),
        _text_item(_IMPLEMENTATION_CLASS_UID, user.implementation_class_uid),
        *(
            _item(_ROLE_SELECTION, _U16.pack(len(uid)) + uid.encode("ascii") + bytes((role.is_scu, role.is_scp)))
            for uid, role in user.roles
        ),
        _text_item(_IMPLEMENTATION_VERSION_NAME, user.implementation_version_name),
    ]
    return _item(_USER_INFORMATION, b"".join(parts))


def _item(kind: int, content: bytes) -> bytes:
    return _ITEM.pack(kind, len(content)) + content


def _text_item(kind: int, text: str) -> bytes:
    return _item(kind, text.encode("ascii"))


def _ae_bytes(title: str) -> bytes:
    return title.encode("ascii", "replace")[:16].ljust(16)


def _fixed(body: bytes) -> tuple[int, str, str, Iterator[tuple[int, bytes]]]:
    if len(body) < _FIXED.size:
        raise InvalidPdu("the PDU is too short")
    version, _, called, calling = _FIXED.unpack_from(body)
    return version, _ae_title(called), _ae_title(calling), _items(body[_FIXED.size :])


def _ae_title(value: bytes) -> str:
    # NUL as padding is a common mistake; what is no ASCII is kept readable and harmless.
    return value.replace(b"\0", b" ").strip().decode("ascii", "backslashreplace")


def _items(content: bytes) -> Iterator[tuple[int, bytes]]:
    position, size = 0, len(content)
    while position < size:
        if position + _ITEM.size > size:
            raise InvalidPdu("an item is cut off")
        kind, length = _ITEM.unpack_from(content, position)
        position += _ITEM.size
        if position + length > size:
            raise InvalidPdu(f"an item of type {kind:#04x} is longer than what holds it")
        yield kind, content[position : position + length]
        position += length


def _proposed(content: bytes) -> ProposedContext:
    if len(content) < 4:
        raise InvalidPdu("a presentation context item is too short")
    abstract, transfer = "", []
    for kind, value in _items(content[4:]):
        if kind == _ABSTRACT_SYNTAX:
            abstract = _uid(value)
        elif kind == _TRANSFER_SYNTAX:
            transfer.append(_uid(value))
    if not content[0] & 1:
        raise InvalidPdu("a presentation context has an even id")
    if not abstract or not transfer:
        raise InvalidPdu("a presentation context has no abstract or no transfer syntax")
    return ProposedContext(content[0], abstract, tuple(transfer))


def _user(content: bytes) -> UserInformation:
    max_length, class_uid, version = 0, "", ""
    roles: list[tuple[str, Role]] = []
    for kind, value in _items(content):
        if kind == _MAX_LENGTH:
            if len(value) != _U32.size:
                raise InvalidPdu("the maximum length item has another size than 4")
            (max_length,) = _U32.unpack(value)
        elif kind == _IMPLEMENTATION_CLASS_UID:
            class_uid = _uid(value)
        elif kind == _IMPLEMENTATION_VERSION_NAME:
            version = value[:16].decode("ascii", "backslashreplace").strip()
        elif kind == _ROLE_SELECTION:
            roles.append(_role(value))
    return UserInformation(max_length, class_uid, version, tuple(roles))


def _role(value: bytes) -> tuple[str, Role]:
    if len(value) < 4:
        raise InvalidPdu("a role selection item is too short")
    (length,) = _U16.unpack_from(value)
    if 2 + length + 2 > len(value):
        raise InvalidPdu("a role selection item is cut off")
    return _uid(value[2 : 2 + length]), Role(bool(value[2 + length]), bool(value[3 + length]))


def _uid(value: bytes) -> str:
    # Neither padding nor white space belongs there; both occur.
    return value.strip(b"\0 ").decode("ascii", "backslashreplace")


def roles_of(user: UserInformation, uids: Iterable[str]) -> dict[str, Role]:
    """The roles of the requestor in these SOP Classes; SCU alone where nothing was negotiated."""
    negotiated = dict(user.roles)
    return {uid: negotiated.get(uid, Role(is_scu=True, is_scp=False)) for uid in uids}
