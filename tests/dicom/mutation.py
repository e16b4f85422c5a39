"""Changes to the bytes of a file, drawn by hypothesis: of its structure, of single bytes, of whole values."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

from hypothesis import strategies as st

from imaging.dicom.element_walk import walk_data_set
from imaging.dicom.file_meta import read_file_meta
from imaging.dicom.limits import DEFAULT_LIMITS
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.transfer_syntax import transfer_syntax
from imaging.dicom.value_representation import LONG_LENGTH_VRS
from imaging.errors import InvalidDicom

Change = tuple[str, float, int, int]
Mutation = Callable[[bytes], bytes]

_places = st.floats(0, 1, exclude_max=True)
mutations = st.lists(
    st.tuples(
        st.sampled_from(("set", "insert", "delete", "duplicate", "length")),
        _places,
        st.integers(0, 255),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=6,
)

_ODD_VALUES = (
    b"", b"\0", b"\0\0", b"\1\0", b"\xff\xff", b"\xff\xff\xff\xff", bytes(8), b"\0\0\0\0\0\0\xf8\x7f", b"\x1b$B",
    b"\\" * 40,
    b"-1", b"0", b"1e308", b"-1e308", b"NaN", b"inf", b"1e400", b"99999999999", b"2147483647", b"0\\0", b"1\\-1\\NaN",
    b"20240230", b"246060", b"+9999", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"GB18030", b"RGB", b"YBR_FULL_422",
    b"PALETTE COLOR", b"MONOCHROME1", b"SIGMOID", b"../../x", b"<script>", "\u202e\u0661".encode(), b"x" * 70_000,
)  # fmt: skip

value_changes = st.lists(
    st.tuples(_places, st.one_of(st.sampled_from(_ODD_VALUES), st.binary(max_size=64))), min_size=1, max_size=4
)
byte_changes = st.lists(st.tuples(_places, st.integers(0, 255)), min_size=1, max_size=12)


def any_mutation() -> st.SearchStrategy[Mutation]:
    """A change of any kind; the function that makes it."""
    return st.one_of(
        mutations.map(lambda changes: _Made(mutate, changes)),
        byte_changes.map(lambda changes: _Made(set_bytes, changes)),
        value_changes.map(lambda changes: _Made(replace_values, changes)),
    )


class _Made:
    """A change that shows itself in what hypothesis prints."""

    def __init__(self, function: Callable[[bytes, list[object]], bytes], changes: list[object]) -> None:
        self._function = function
        self._changes = changes

    def __call__(self, data: bytes) -> bytes:
        return self._function(data, self._changes)

    def __repr__(self) -> str:
        return f"{self._function.__name__}({self._changes!r})"[:2000]


def mutate(data: bytes, changes: list[Change]) -> bytes:
    """The file with bytes set, inserted, deleted or repeated, mostly in its header."""
    mutated = bytearray(data)
    for kind, where, byte, size in changes:
        # After the preamble; squared, because the header comes first and is where structure is.
        at = 132 + int(where * where * (len(mutated) - 132))
        if kind == "set":
            mutated[at : at + 1] = bytes([byte])
        elif kind == "insert":
            mutated[at:at] = bytes([byte]) * size
        elif kind == "delete":
            del mutated[at : at + size]
        elif kind == "duplicate":
            mutated[at:at] = mutated[at : at + size]
        else:
            mutated[at : at + 4] = b"\xff\xff\xff" + bytes([byte])
    return bytes(mutated)


def set_bytes(data: bytes, changes: list[tuple[float, int]]) -> bytes:
    """The file with single bytes set, all places alike: in an image mostly in its pixel data."""
    mutated = bytearray(data)
    for where, byte in changes:
        mutated[int(where * len(mutated))] = byte
    return bytes(mutated)


def replace_values(data: bytes, changes: list[tuple[float, bytes]]) -> bytes:
    """The file with values of its elements replaced, their lengths made right: its structure stays sound."""
    elements, little, implicit = _elements(data)
    replaced = {int(where * len(elements)): value for where, value in changes} if elements else {}
    for index in sorted(replaced, reverse=True):  # from the end on, so that the offsets before it stay
        vr, offset, value_offset, length = elements[index]
        value = replaced[index]
        wide = implicit or vr in LONG_LENGTH_VRS
        value = value[: None if wide else 0xFFFF - 1]
        value += b"\0" * (len(value) % 2)
        size = struct.pack(("<" if little else ">") + ("I" if wide else "H"), len(value))
        head = data[offset : value_offset - len(size)] + size
        data = data[:offset] + head + value + data[value_offset + length :]
    return data


@cache
def _elements(data: bytes) -> tuple[list[tuple[bytes, int, int, int]], bool, bool]:
    """Outermost elements of defined length but for sequences: VR, offset, value offset, length; little, implicit."""
    try:
        meta = read_file_meta(data)
        syntax = transfer_syntax(meta.transfer_syntax_uid)
        walked = walk_data_set(
            data, meta.end, len(data), implicit_vr=syntax.implicit_vr, little_endian=syntax.little_endian,
            limits=DEFAULT_LIMITS, log=WarningLog(0),
        )  # fmt: skip
    except InvalidDicom:
        return [], True, True
    found = sorted(walked.elements.values(), key=lambda element: element[1])
    kept = [element for element in found if element[0] != b"SQ" and data[element[2] - 4 : element[2]] != b"\xff" * 4]
    return kept, syntax.little_endian, syntax.implicit_vr
