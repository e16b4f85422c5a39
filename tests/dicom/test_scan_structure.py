"""Structure: lengths, sequences, delimiters, duplicates, file meta information. Typed errors, with place and hint."""

from __future__ import annotations

import mmap
import struct
import tracemalloc
from pathlib import Path

import pytest

from imaging.dicom.limits import ScanLimits
from imaging.dicom.scan_warning import has_warning
from imaging.dicom.scanned_instance import ScannedInstance
from imaging.dicom.scanner import scan
from imaging.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    GE_PRIVATE_IMPLICIT,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from imaging.errors import (
    InvalidDicom,
    LimitExceeded,
    NotDicom,
    TruncatedDicom,
    UnsupportedTransferSyntax,
)
from tests.dicom.part10 import (
    ITEM,
    ITEM_END,
    RT_PLAN,
    SEQUENCE_END,
    UNDEFINED,
    data_set,
    element,
    file_meta,
    identity,
    image,
    nested,
    part10,
    uid,
)

SEQUENCE = 0x0040A730
OUTER = data_set(identity(RT_PLAN))


def with_tail(tail: bytes) -> bytes:
    """A structured report with these bytes at its end."""
    return part10(OUTER + tail)


def refused(data: bytes, kind: type[InvalidDicom]) -> InvalidDicom:
    """The error of exactly this class that scanning gives, whose place and hint are told."""
    with pytest.raises(kind) as caught:
        scan(data)
    assert type(caught.value) is kind
    assert "byte " in caught.value.where
    assert caught.value.hint
    return caught.value


def test_empty_file_is_refused_as_empty() -> None:
    assert "empty" in refused(b"", NotDicom).what


def test_zeros_without_prefix_are_refused_with_a_hint_at_raw() -> None:
    error = refused(bytes(131), NotDicom)
    assert "not DICOM Part 10" in error.what
    assert "--raw" in error.hint


def test_file_that_ends_after_the_file_meta_is_truncated() -> None:
    refused(file_meta(), TruncatedDicom)


def test_missing_transfer_syntax_is_refused() -> None:
    data = bytes(128) + b"DICM" + element(0x00020002, "UI", uid(RT_PLAN)) + OUTER
    assert refused(data, InvalidDicom).where.startswith("(0002,0010)")


def test_unknown_transfer_syntax_is_refused_by_name() -> None:
    error = refused(file_meta("1.2.3.4.99") + OUTER, UnsupportedTransferSyntax)
    assert error.metadata["transfer_syntax_uid"] == "1.2.3.4.99"


def test_nonstandard_vr_in_file_meta_is_refused_without_memory() -> None:
    data = file_meta(extra=struct.pack("<HH2sHI", 2, 0x16, b"ZZ", 0, 0xFFFFFFF0)) + OUTER
    tracemalloc.start()
    refused(data, InvalidDicom)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("group_length", [0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 100_000])
def test_group_length_past_the_end_is_refused(group_length: int) -> None:
    refused(file_meta(group_length=group_length) + OUTER, TruncatedDicom)


@pytest.mark.parametrize("group_length", [0, 4, 90])
def test_group_length_that_is_only_wrong_is_told(group_length: int) -> None:
    assert has_warning(scan(file_meta(group_length=group_length) + OUTER).warnings, "group_length")


def test_duplicate_in_file_meta_is_told_and_the_first_one_counts() -> None:
    extra = element(0x00020003, "UI", uid("9.9.9"))
    assert has_warning(scan(file_meta(extra=extra) + OUTER).warnings, "duplicate_tag")


def test_two_transfer_syntaxes_are_refused() -> None:
    extra = element(0x00020010, "UI", uid(IMPLICIT_VR_LITTLE_ENDIAN))
    refused(file_meta(extra=extra) + OUTER, InvalidDicom)


def test_length_past_the_end_of_the_file_is_refused() -> None:
    data = with_tail(element(0x00420011, "OB", b"1234", length=0xFFFFFFF0))
    error = refused(data, TruncatedDicom)
    assert error.where == f"(0042,0011), byte {len(data) - 16}"
    assert "4294967280 bytes, 4 are there" in error.what


@pytest.mark.parametrize("depth", [65, 100, 249, 1_000, 100_000])
@pytest.mark.parametrize("undefined", [True, False])
def test_deep_nesting_is_refused(depth: int, undefined: bool) -> None:
    if depth == 100_000 and not undefined:
        depth = 2_000
    refused(with_tail(nested(depth, undefined=undefined)), LimitExceeded)


@pytest.mark.parametrize("undefined", [True, False])
def test_nesting_over_the_first_limit_is_told(undefined: bool) -> None:
    assert not has_warning(scan(with_tail(nested(32, undefined=undefined))).warnings, "depth")
    assert has_warning(scan(with_tail(nested(33, undefined=undefined))).warnings, "depth")
    assert has_warning(scan(with_tail(nested(64, undefined=undefined))).warnings, "depth")


@pytest.mark.parametrize("depth", [1, 2, 60])
def test_sequence_that_is_never_closed_is_truncated(depth: int) -> None:
    opening = element(SEQUENCE, "SQ", b"", length=UNDEFINED) + element(ITEM, "", b"", length=UNDEFINED)
    error = refused(with_tail(opening * depth), TruncatedDicom)
    assert "never closed" in error.what


def test_item_longer_than_its_sequence_is_refused() -> None:
    item = element(ITEM, "", element(0x0040A160, "UT", b"text"), length=400)
    tail = element(SEQUENCE, "SQ", item) + element(0x00420011, "OB", bytes(1000))
    error = refused(with_tail(tail), InvalidDicom)
    assert "(0040,A730)[1].(FFFE,E000)" in error.where


def test_element_longer_than_its_item_is_refused() -> None:
    item = element(ITEM, "", element(0x0040A160, "UT", b"text", length=40))
    tail = element(SEQUENCE, "SQ", item) + element(0x00420011, "OB", bytes(1000))
    assert "(0040,A730)[1].(0040,A160)" in refused(with_tail(tail), InvalidDicom).where


def test_sequence_longer_than_the_item_around_it_is_refused() -> None:
    inner = element(SEQUENCE, "SQ", element(ITEM, "", b""), length=64)
    tail = element(SEQUENCE, "SQ", element(ITEM, "", inner)) + element(0x00420011, "OB", bytes(1000))
    refused(with_tail(tail), InvalidDicom)


def test_undefined_item_ending_with_its_defined_sequence_is_refused() -> None:
    tail = element(SEQUENCE, "SQ", element(ITEM, "", b"", length=UNDEFINED)) + element(0x00420011, "OB", bytes(10))
    refused(with_tail(tail), InvalidDicom)


@pytest.mark.parametrize("tag", [ITEM, ITEM_END, SEQUENCE_END])
def test_delimiter_outside_of_a_sequence_is_refused(tag: int) -> None:
    refused(with_tail(element(tag, "", b"") + element(0x00420011, "OB", b"")), InvalidDicom)


def test_something_else_than_an_item_in_a_sequence_is_refused() -> None:
    refused(with_tail(element(SEQUENCE, "SQ", element(0x0040A160, "UT", b"text"))), InvalidDicom)


def test_delimiter_with_a_length_is_told() -> None:
    sequence = element(SEQUENCE, "SQ", b"", length=UNDEFINED) + element(SEQUENCE_END, "", b"", length=4)
    assert has_warning(scan(with_tail(sequence)).warnings, "delimiter_length")


def test_undefined_length_is_refused_where_the_vr_does_not_allow_it() -> None:
    refused(with_tail(element(0x0040A160, "UT", b"text", length=UNDEFINED)), InvalidDicom)


def test_unknown_vr_is_refused() -> None:
    refused(with_tail(element(0x0040A160, "ZZ", b"text")), InvalidDicom)


def test_duplicate_is_told_and_the_first_one_counts() -> None:
    values = identity(RT_PLAN) | {0x00080060: ("CS", b"SR")}
    instance = scan(part10(data_set(values) + element(0x00080060, "CS", b"CT")))
    assert instance.attributes["Modality"] == "SR"
    assert has_warning(instance.warnings, "duplicate_tag")


def test_duplicate_identity_with_another_value_is_refused() -> None:
    refused(with_tail(element(0x00080018, "UI", uid("6.6.6"))), InvalidDicom)


def test_second_pixel_data_is_refused() -> None:
    values = image()
    refused(part10(data_set(values) + element(0x7FE00010, "OW", values[0x7FE00010][1])), InvalidDicom)


@pytest.mark.parametrize("group", [0x0000, 0x0001, 0x0002, 0x0006])
def test_group_that_no_data_set_has_is_refused(group: int) -> None:
    refused(with_tail(element(group << 16 | 0x10, "LO", b"text")), InvalidDicom)


def test_odd_lengths_are_told_and_pass() -> None:
    instance = scan(with_tail(element(0x0040A160, "UT", b"odd")))
    assert [warning.code for warning in instance.warnings] == ["odd_length", "meta_mismatch"]


def test_one_million_elements_is_the_limit() -> None:
    many = element(0x0040A160, "SH", b"") * 1_001
    limits = ScanLimits(max_elements=1_000)
    with pytest.raises(LimitExceeded, match="1000 elements"):
        scan(with_tail(element(SEQUENCE, "SQ", element(ITEM, "", many))), limits=limits)
    with pytest.raises(LimitExceeded, match="1000 elements"):
        scan(with_tail(element(SEQUENCE, "SQ", element(ITEM, "", b"") * 1_001)), limits=limits)


@pytest.mark.parametrize("step", [0, 1])
def test_elements_outside_of_sequences_are_bounded_in_number_and_memory(step: int) -> None:
    def many(count: int) -> bytes:
        return with_tail(b"".join(element(0x00091000 + number * step, "SH", b"") for number in range(count)))

    with pytest.raises(LimitExceeded, match="1000 elements outside"):
        scan(many(1_100), limits=ScanLimits(max_outermost_elements=1_000))
    data = many(200_000)
    tracemalloc.start()
    refused(data, LimitExceeded)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000


def test_file_over_the_size_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitExceeded, match="max_file_bytes"):
        scan(with_tail(b""), limits=ScanLimits(max_file_bytes=100))


def test_number_of_warnings_is_bounded() -> None:
    odd = element(0x0040A160, "SH", b"x") * 1_000
    instance = scan(with_tail(element(SEQUENCE, "SQ", element(ITEM, "", odd))))
    assert len(instance.warnings) == 101
    assert instance.warnings[-1].code == "more_warnings"


def test_unknown_vr_of_undefined_length_holds_implicit_vr() -> None:
    inner = element(0x0040A160, "", b"text", implicit=True)
    tail = element(0x00091010, "UN", b"", length=UNDEFINED)
    tail += element(ITEM, "", inner) + element(SEQUENCE_END, "", b"")
    assert scan(with_tail(tail)).sop_class_uid == RT_PLAN


def test_implicit_item_in_an_explicit_data_set_is_told() -> None:
    item = element(ITEM, "", element(0x0040A160, "", b"text", implicit=True))
    assert has_warning(scan(with_tail(element(SEQUENCE, "SQ", item))).warnings, "implicit_item")


def test_implicit_data_set_under_an_explicit_transfer_syntax_is_refused() -> None:
    body = data_set(identity(RT_PLAN), implicit=True)
    assert "Transfer Syntax" in refused(part10(body), InvalidDicom).hint


def test_explicit_data_set_under_an_implicit_transfer_syntax_is_refused() -> None:
    error = refused(file_meta(IMPLICIT_VR_LITTLE_ENDIAN) + OUTER, InvalidDicom)
    assert "explicit VR" in error.what


@pytest.mark.parametrize("syntax", [IMPLICIT_VR_LITTLE_ENDIAN, GE_PRIVATE_IMPLICIT])
def test_implicit_vr_finds_sequences_by_their_tags(syntax: str) -> None:
    body = data_set(identity(RT_PLAN), implicit=True)
    item = element(ITEM, "", element(0x0040A160, "", b"text", implicit=True, length=40))
    broken = element(SEQUENCE, "", item, implicit=True) + element(0x00420011, "", bytes(50), implicit=True)
    refused(file_meta(syntax) + body + broken, InvalidDicom)
    private = element(0x00091010, "", b"", implicit=True, length=UNDEFINED)
    private += element(ITEM, "", b"") + element(SEQUENCE_END, "", b"")
    scan(file_meta(syntax) + body + private)


def test_big_endian_is_scanned() -> None:
    values = identity(RT_PLAN)
    body = data_set(values, big=True)
    item = struct.pack(">HHI", 0xFFFE, 0xE000, 0)
    body += element(SEQUENCE, "SQ", item, big=True)
    assert scan(file_meta(EXPLICIT_VR_BIG_ENDIAN) + body).series_instance_uid == "1.2.3.4"


@pytest.mark.parametrize("tag", [0x00080016, 0x00080018, 0x0020000D, 0x0020000E])
@pytest.mark.parametrize(
    "value",
    [b"", b"../../../x", b"1" * 65, b"1.02.3", "1.２".encode(), b"1.\0002", b"1..2", b"1.2.", b"a", b"1.2\n", b" 1.2"],
)
def test_identity_that_is_no_uid_is_refused(tag: int, value: bytes) -> None:
    values = identity(RT_PLAN)
    values[tag] = ("UI", value + b"\0" * (len(value) % 2))
    error = refused(part10(values), InvalidDicom)
    assert error.where.startswith(f"({tag >> 16:04X},{tag & 0xFFFF:04X}), byte ")
    assert "../" not in error.text


@pytest.mark.parametrize("tag", [0x00080016, 0x00080018, 0x0020000D, 0x0020000E])
def test_missing_identity_is_refused(tag: int) -> None:
    values = identity(RT_PLAN)
    del values[tag]
    assert "missing" in refused(part10(values), InvalidDicom).what


def test_dicomdir_is_refused_with_the_reason() -> None:
    values = {0x00041130: ("CS", b"DISK"), 0x00041220: ("SQ", b"")}
    assert "DICOMDIR" in refused(part10(values), InvalidDicom).hint


@pytest.mark.parametrize(
    "start",
    [
        b"MZ\x90",
        b"\x7fELF",
        b"\xfe\xed\xfa\xcf",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b'{"a"',
    ],
)
def test_preamble_that_poses_as_another_file_is_told(start: bytes) -> None:
    data = start + with_tail(b"")[len(start) :]
    assert has_warning(scan(data).warnings, "preamble_executable")


@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*", b"\0\0\0\0", b"II+\0"])
def test_preamble_of_a_dual_format_slide_passes(start: bytes) -> None:
    data = start + with_tail(b"")[len(start) :]
    assert not has_warning(scan(data).warnings, "preamble_executable")


@pytest.mark.parametrize(
    ("body", "syntax"),
    [
        (OUTER, EXPLICIT_VR_LITTLE_ENDIAN),
        (data_set(identity(RT_PLAN), implicit=True), IMPLICIT_VR_LITTLE_ENDIAN),
        (data_set(identity(RT_PLAN), big=True), EXPLICIT_VR_BIG_ENDIAN),
    ],
)
def test_bare_data_set_is_taken_only_when_asked(body: bytes, syntax: str) -> None:
    refused(body, NotDicom)
    instance = scan(body, require_part10=False)
    assert instance.transfer_syntax_uid == syntax
    assert instance.data_set_offset == 0
    assert has_warning(instance.warnings, "headerless")
    assert scan(body, transfer_syntax_uid=syntax).sop_instance_uid == "1.2.3.4.5"


def test_file_meta_without_preamble_is_taken_only_when_asked() -> None:
    data = with_tail(b"")[132:]
    refused(data, NotDicom)
    assert scan(data, require_part10=False).transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN


@pytest.mark.parametrize("junk", [b"\0" * 200, b"<html>" * 50, b"\xff" * 200, b"\x08\0", b"GET / HTTP/1.1\r\n\r\n"])
def test_junk_is_no_bare_data_set(junk: bytes) -> None:
    with pytest.raises(InvalidDicom):
        scan(junk, require_part10=False)


def every_kind_of_buffer(data: bytes, folder: Path) -> list[ScannedInstance]:
    path = folder / "file.dcm"
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return [scan(data), scan(bytearray(data)), scan(memoryview(data)), scan(mapped)]


def test_all_kinds_of_bytes_give_the_same(tmp_path: Path) -> None:
    first, *others = every_kind_of_buffer(part10(image()), tmp_path)
    assert first.frames is not None
    assert all(other == first for other in others)


def test_mapped_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    header = part10(image(20_000, 50_000, pixel_data=b""))[:-12]
    size = 20_000 * 50_000 * 2
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.write(header + element(0x7FE00010, "OW", b"", length=size))
        file.truncate(file.tell() + size)
    tracemalloc.start()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        instance = scan(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert instance.pixel_data is not None
    assert instance.pixel_data.value_length == size
    assert peak < 1_000_000
