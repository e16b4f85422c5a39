"""Command sets (PS3.7 6.3, E): group 0000 in Implicit VR Little Endian, as values and as bytes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from struct import Struct
from typing import Final, Literal

from gateway_svc.dimse.pdu import InvalidPdu

MAX_COMMAND_BYTES: Final = 64 * 1024
"""Real ones have some hundred; one with a list of offending elements some more."""

RESPONSE: Final = 0x8000
"""Bit of the command field that makes a response of a request."""


class CommandField(IntEnum):
    """The requests that are spoken here; a response has the bit `RESPONSE` besides."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_ACTION = 0x0130
    C_CANCEL = 0x0FFF


class Priority(IntEnum):
    """As the requestor wishes it."""

    MEDIUM = 0
    HIGH = 1
    LOW = 2


_NO_DATA_SET: Final = 0x0101
_HAS_DATA_SET: Final = 0x0001

_TAG_AND_LENGTH = Struct("<HHI")
_US = Struct("<H")
_UL = Struct("<I")

_Kind = Literal["UI", "US", "AE", "LO"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command set; None or empty where an element is absent."""

    command_field: int
    affected_sop_class_uid: str = ""
    requested_sop_class_uid: str = ""
    message_id: int | None = None
    message_id_responded_to: int | None = None
    move_destination: str = ""
    priority: int | None = None
    has_data_set: bool = False
    status: int | None = None
    error_comment: str = ""
    affected_sop_instance_uid: str = ""
    requested_sop_instance_uid: str = ""
    event_type_id: int | None = None
    action_type_id: int | None = None
    remaining: int | None = None
    """Sub-operations that remain, and the three counts of those that are done."""

    completed: int | None = None
    failed: int | None = None
    warned: int | None = None
    move_originator_ae_title: str = ""
    move_originator_message_id: int | None = None

    @property
    def is_response(self) -> bool:
        """True for the answer to a request."""
        return bool(self.command_field & RESPONSE)

    def response(self, status: int, comment: str = "") -> Command:
        """The answer to this request, with its status and, where something is wrong, why."""
        return Command(
            command_field=self.command_field | RESPONSE,
            message_id_responded_to=self.message_id,
            status=status,
            error_comment=comment,
            affected_sop_class_uid=self.affected_sop_class_uid or self.requested_sop_class_uid,
            affected_sop_instance_uid=self.affected_sop_instance_uid or self.requested_sop_instance_uid,
        )

    def with_data_set(self) -> Command:
        """The same, announcing that a data set follows."""
        return replace(self, has_data_set=True)


# In the order of their tags, as they are written (PS3.7 E.1).
_ELEMENTS: Final[tuple[tuple[int, str, _Kind], ...]] = (
    (0x0002, "affected_sop_class_uid", "UI"),
    (0x0003, "requested_sop_class_uid", "UI"),
    (0x0100, "command_field", "US"),
    (0x0110, "message_id", "US"),
    (0x0120, "message_id_responded_to", "US"),
    (0x0600, "move_destination", "AE"),
    (0x0700, "priority", "US"),
    (0x0800, "has_data_set", "US"),
    (0x0900, "status", "US"),
    (0x0902, "error_comment", "LO"),
    (0x1000, "affected_sop_instance_uid", "UI"),
    (0x1001, "requested_sop_instance_uid", "UI"),
    (0x1002, "event_type_id", "US"),
    (0x1008, "action_type_id", "US"),
    (0x1020, "remaining", "US"),
    (0x1021, "completed", "US"),
    (0x1022, "failed", "US"),
    (0x1023, "warned", "US"),
    (0x1030, "move_originator_ae_title", "AE"),
    (0x1031, "move_originator_message_id", "US"),
)
_BY_ELEMENT: Final = {element: (name, kind) for element, name, kind in _ELEMENTS}
assert {name for _, name, _ in _ELEMENTS} == {field.name for field in fields(Command)}

_MAX_COMMENT = 64
"""Characters of an Error Comment (LO)."""


def encode_command(command: Command) -> bytes:
    """The command set with its group length."""
    body = b"".join(
        _element(element, _value(name, kind, getattr(command, name)))
        for element, name, kind in _ELEMENTS
        if name == "has_data_set" or getattr(command, name) not in (None, "")
    )
    return _element(0x0000, _UL.pack(len(body))) + body


def decode_command(content: bytes) -> Command:
    """The value of a command set; elements that are not known are passed over.

    Raises
    ------
    InvalidPdu
        If it is cut off, has elements of another group, or no command field.
    """
    values: dict[str, int | str | bool] = {}
    position, size = 0, len(content)
    while position < size:
        if position + _TAG_AND_LENGTH.size > size:
            raise InvalidPdu("a command set is cut off")
        group, element, length = _TAG_AND_LENGTH.unpack_from(content, position)
        position += _TAG_AND_LENGTH.size
        if group != 0 or position + length > size:
            raise InvalidPdu("a command set has a foreign group, or an element that is longer than the set")
        known = _BY_ELEMENT.get(element)
        if known is not None:
            name, kind = known
            values[name] = _decoded(name, kind, content[position : position + length])
        position += length
    if "command_field" not in values:
        raise InvalidPdu("a command set has no command field")
    return Command(**values)  # type: ignore[arg-type]  # the kinds of the table are those of the fields


def _element(element: int, value: bytes) -> bytes:
    return _TAG_AND_LENGTH.pack(0x0000, element, len(value)) + value


def _value(name: str, kind: _Kind, value: int | str | bool) -> bytes:
    if name == "has_data_set":
        return _US.pack(_HAS_DATA_SET if value else _NO_DATA_SET)
    if kind == "US":
        return _US.pack(min(int(value), 0xFFFF))
    if kind == "UI":
        return _uid_bytes(str(value))
    text = str(value).encode("ascii", "replace")[: 16 if kind == "AE" else _MAX_COMMENT]
    return text + b" " * (len(text) % 2)


def _uid_bytes(uid: str) -> bytes:
    value = uid.encode("ascii", "replace")
    return value + b"\0" * (len(value) % 2)


def _decoded(name: str, kind: _Kind, value: bytes) -> int | str | bool:
    if kind != "US":
        return value.strip(b"\0 ").decode("ascii", "backslashreplace")
    if len(value) != _US.size:
        raise InvalidPdu(f"an element of a command set ({name.replace('_', ' ')}) has another size than 2")
    (number,) = _US.unpack(value)
    return number != _NO_DATA_SET if name == "has_data_set" else int(number)
