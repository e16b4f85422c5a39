"""Bad structure: what is cut, nested, unclosed, twice there, of a wrong length, or deflated to a bomb."""

from __future__ import annotations

import struct
import zlib
from functools import cache, partial

from imaging.dicom.transfer_syntax import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import (
    InvalidDicom,
    LimitExceeded,
    NotDicom,
    TruncatedDicom,
    UnsupportedTransferSyntax,
)
from tests.dicom.part10 import (
    ITEM,
    RT_PLAN,
    UNDEFINED,
    data_set,
    deflate,
    element,
    file_meta,
    identity,
    image,
    nested,
    part10,
    uid,
)
from tests.dicom.wheel_files import wheel_file
from tests.faults.bad_input import BadInput, Refused, Taken, report

SEQUENCE = 0x0040A730
META = "(0002,"
PLAN = data_set(identity(RT_PLAN))


def cut(name: str, parts: int) -> bytes:
    """A file of the wheel without what comes after so many 64ths of it."""
    content = wheel_file(name)
    return content[: len(content) * parts // 64]


def meta_element(vr: bytes, length: int) -> bytes:
    """An element of group 0002 with any two bytes as its VR."""
    return file_meta(extra=struct.pack("<HH2sHI", 2, 0x16, vr, 0, length)) + PLAN


@cache
def bomb(megabytes: int) -> bytes:
    """A deflated data set that grows by 1,000 : 1."""
    deflater = zlib.compressobj(9, wbits=-15)
    zeros = bytes(1 << 20)
    stream = b"".join(deflater.compress(zeros) for _ in range(megabytes)) + deflater.flush()
    return file_meta(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN) + stream


def deflated(*, cut_bytes: int = 0, tail: bytes = b"") -> bytes:
    """A deflated image whose stream is cut, or has something behind it."""
    stream = deflate(data_set(image(64, 64, pixel_data=bytes(range(256)) * 32)))
    return file_meta(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN) + stream[: len(stream) - cut_bytes] + tail


def unclosed(depth: int) -> bytes:
    """Sequences of undefined length that nothing closes."""
    opening = element(SEQUENCE, "SQ", b"", length=UNDEFINED) + element(ITEM, "", b"", length=UNDEFINED)
    return report(opening * depth)


def item_of(length: int) -> bytes:
    """A sequence whose only item declares another length than it has, with more of the data set behind it."""
    text = element(0x0040A160, "UT", b"text")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, length) + text
    return report(element(SEQUENCE, "SQ", item) + element(0x00420011, "OB", bytes(1000)))


STRUCTURE = [
    BadInput("empty", bytes, Refused(NotDicom, says="empty")),
    BadInput("131 zeros", partial(bytes, 131), Refused(NotDicom, says="--raw")),
    BadInput("a ZIP archive", lambda: b"PK\x03\x04" + bytes(2000), Refused(NotDicom, says="--raw")),
    BadInput("preamble and prefix alone", lambda: bytes(128) + b"DICM", Refused(InvalidDicom, META, "source")),
    BadInput("headerless, not said", partial(wheel_file, "no_meta.dcm"), Refused(NotDicom, says="--raw")),
    BadInput(
        "headerless, said with its syntax",
        lambda: data_set(image(), implicit=True),
        Taken(frames=1),
        {"headerless_transfer_syntax_uid": IMPLICIT_VR_LITTLE_ENDIAN},
    ),
    BadInput(
        "headerless, said with another syntax",
        lambda: data_set(image(), implicit=True),
        Refused(InvalidDicom, "(0008,0016)", "Transfer Syntax"),
        {"headerless_transfer_syntax_uid": "1.2.840.10008.1.2.1"},
    ),
    BadInput(
        "no transfer syntax",
        partial(wheel_file, "meta_missing_tsyntax.dcm"),
        Refused(InvalidDicom, "(0002,0010)", "add it"),
    ),
    BadInput(
        "unknown transfer syntax",
        lambda: file_meta("1.2.3.4.99") + data_set(identity()),
        Refused(UnsupportedTransferSyntax, "(0002,0010)", "standard transfer syntax"),
    ),
    BadInput("MR_truncated.dcm", partial(wheel_file, "MR_truncated.dcm"), Refused(TruncatedDicom, "(7FE0,0010)")),
    BadInput("rtplan_truncated.dcm", partial(wheel_file, "rtplan_truncated.dcm"), Refused(TruncatedDicom, "(300A,")),
    *(
        BadInput(f"{name} after {parts}/64", partial(cut, name, parts), Refused(InvalidDicom, ""))
        for name in ("MR_small.dcm", "image_dfl.dcm", "JPEG2000.dcm")
        for parts in range(64)
    ),
    BadInput(
        "length 0xFFFFFFF0, 4 bytes there",
        lambda: report(element(0x00420011, "OB", b"1234", length=0xFFFFFFF0)),
        Refused(TruncatedDicom, "(0042,0011)", "4294967280 bytes, 4 are there"),
    ),
    *(
        BadInput(f"{depth} nested sequences", partial(lambda depth: report(nested(depth)), depth),
                 Refused(LimitExceeded, "(0008,1140)", "max_depth"))
        for depth in (65, 100, 249, 1_000, 100_000)
    ),
    BadInput("40 nested sequences", lambda: report(nested(40)), Taken(("DEPTH",))),
    *(
        BadInput(f"{depth} sequences never closed", partial(unclosed, depth),
                 Refused(TruncatedDicom, "(0040,A730)", "never closed"))
        for depth in (1, 60)
    ),
    BadInput("item longer than its sequence", partial(item_of, 400), Refused(InvalidDicom, "(0040,A730)", "length")),
    BadInput("item longer than the file", partial(item_of, 1 << 30), Refused(TruncatedDicom, "(0040,A730)")),
    BadInput(
        "a tag twice",
        lambda: report(element(0x00100010, "PN", b"A^") + element(0x00100010, "PN", b"B^")),
        Taken(("DUPLICATE_TAG",), study={"patient_name": "A^"}),
    ),
    BadInput(
        "SOP Instance UID twice, different",
        lambda: report(element(0x00080018, "UI", uid("9.9.9.9.9"))),
        Refused(InvalidDicom, "(0008,0018)", "twice"),
    ),
    BadInput(
        "pixel data twice",
        lambda: part10(data_set(image()) + element(0x7FE00010, "OW", bytes(32))),
        Refused(InvalidDicom, "(7FE0,0010)", "twice"),
    ),
    BadInput(
        "a tag of group 0002 twice",
        lambda: file_meta(extra=element(0x00020003, "UI", uid("9.9.9")), sop_class=RT_PLAN) + PLAN,
        Taken(("DUPLICATE_TAG",)),
    ),
    BadInput(
        "two transfer syntaxes",
        lambda: file_meta(extra=element(0x00020010, "UI", uid(IMPLICIT_VR_LITTLE_ENDIAN))) + data_set(identity()),
        Refused(InvalidDicom, "(0002,0010)", "different"),
    ),
    BadInput("VR ZZ of 4.2 GB in group 0002", partial(meta_element, b"ZZ", 0xFFFFFFF0), Refused(InvalidDicom, META)),
    BadInput("UN of 4.2 GB in group 0002", partial(meta_element, b"UN", 0xFFFFFFF0), Refused(TruncatedDicom, META)),
    *(
        BadInput(
            f"group length {length}",
            partial(lambda length: file_meta(group_length=length, sop_class=RT_PLAN) + PLAN, length),
            answer,
        )
        for length, answer in {
            0: Taken(("GROUP_LENGTH",)),
            90: Taken(("GROUP_LENGTH",)),
            100_000: Refused(TruncatedDicom, "(0002,0000)"),
            0xFFFFFFFF: Refused(TruncatedDicom, "(0002,0000)"),
        }.items()
    ),
    BadInput("group length of 2 bytes", lambda: bytes(128) + b"DICM" + element(0x00020000, "UL", b"\1\0"),
             Refused(InvalidDicom, "(0002,0000)")),
    BadInput("deflate bomb of 3 GB", partial(bomb, 3000), Refused(LimitExceeded, says="200 : 1")),
    BadInput("deflated, then garbage", partial(deflated, tail=b"garbage!"), Refused(InvalidDicom, says="follow")),
    *(
        BadInput(f"deflated, {count} bytes missing", partial(deflated, cut_bytes=count), Refused(TruncatedDicom))
        for count in (2, 20, 100)
    ),
    BadInput("not deflated at all", lambda: file_meta(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN) + data_set(image()),
             Refused(InvalidDicom, "", "deflated")),
    BadInput("odd lengths", lambda: report(element(0x00100020, "LO", b"odd")), Taken(("ODD_LENGTH",))),
    BadInput("100,001 times the same element", lambda: report(element(0x00090010, "LO", b"") * 100_003),
             Refused(LimitExceeded, "(0009,0010)", "max_outermost_elements")),
    BadInput("1,000,001 elements in a sequence", lambda: report(element(SEQUENCE, "SQ", element(
        ITEM, "", element(0x0040A160, "SH", b"") * 1_000_001))), Refused(LimitExceeded, "(0040,A730)", "max_elements")),
]  # fmt: skip
