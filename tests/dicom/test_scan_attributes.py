"""Indexed attributes: odd values become null with a warning, characters are never lost without one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.dicom.attribute_value import decode_date, decode_decimal, decode_integer, decode_time
from imaging.dicom.character_set import character_set
from imaging.dicom.header import header_bytes, read_header
from imaging.dicom.scan_warning import has_warning
from imaging.dicom.scanned_instance import ScannedInstance
from imaging.dicom.scanner import scan
from tests.dicom.part10 import RT_PLAN, Values, identity, image, part10, text

CHARACTER_SET, NAME = 0x00080005, 0x00100010


def scanned(values: Values) -> ScannedInstance:
    return scan(part10(identity(RT_PLAN) | values))


@pytest.mark.parametrize(
    ("tag", "vr", "keyword", "value"),
    [
        (0x00080020, "DA", "StudyDate", b"20240230"),
        (0x00080020, "DA", "StudyDate", b"2024"),
        (0x00080020, "DA", "StudyDate", b"yesterday "),
        (0x00100030, "DA", "PatientBirthDate", b"00000000"),
        (0x00080030, "TM", "StudyTime", b"246060"),
        (0x00080030, "TM", "StudyTime", b"1 "),
        (0x00200011, "IS", "SeriesNumber", b"1e400 "),
        (0x00200011, "IS", "SeriesNumber", b"4294967296"),
        (0x00200011, "IS", "SeriesNumber", b"one "),
        (0x00180050, "DS", "SliceThickness", b"1,25"),
        (0x00180050, "DS", "SliceThickness", b"NaN "),
        (0x00180050, "DS", "SliceThickness", b"inf "),
        (0x00180050, "DS", "SliceThickness", b"1e999 "),
        (0x00200032, "DS", "ImagePositionPatient", b"1\\2\\x "),
        (0x00080201, "SH", "TimezoneOffsetFromUTC", b"CET "),
        (0x0008002A, "DT", "AcquisitionDateTime", b"noon"),
    ],
)
def test_bad_value_is_null_and_told(tag: int, vr: str, keyword: str, value: bytes) -> None:
    instance = scanned({tag: (vr, value)})
    assert instance.attributes[keyword] is None
    (warning,) = (each for each in instance.warnings if each.code == "bad_value")
    assert keyword in warning.message
    assert value.decode().strip() not in warning.message.split(": ", 1)[1]


def test_decimal_of_too_many_characters_is_told_and_kept() -> None:
    instance = scanned({0x00180050: ("DS", b"1.23456789012345678 ")})
    assert instance.attributes["SliceThickness"] == pytest.approx(1.2345678901234568)
    assert has_warning(instance.warnings, "bad_value")


def test_values_are_typed() -> None:
    values: Values = {
        0x00080020: ("DA", b"20240229"),
        0x00080030: ("TM", b"235960.5"),
        0x00080008: ("CS", b"ORIGINAL\\PRIMARY"),
        0x00200013: ("IS", b" +7 "),
        0x00200032: ("DS", b"-1.5\\2e1\\ 3"),
        0x00280030: ("DS", b"0.5 "),
        0x00080201: ("SH", b"+0530 "),
    }
    assert {key: scanned(values).attributes[key] for key in (
        "StudyDate", "StudyTime", "ImageType", "InstanceNumber", "ImagePositionPatient", "PixelSpacing",
        "TimezoneOffsetFromUTC")} == {
        "StudyDate": "20240229",
        "StudyTime": "235960.5",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "InstanceNumber": 7,
        "ImagePositionPatient": [-1.5, 20.0, 3.0],
        "PixelSpacing": [0.5],
        "TimezoneOffsetFromUTC": "+0530",
    }  # fmt: skip


def test_absent_attributes_are_missing_and_empty_ones_are_null() -> None:
    attributes = scanned({NAME: ("PN", b""), 0x00080008: ("CS", b"")}).attributes
    assert attributes["PatientName"] is None
    assert attributes["ImageType"] is None
    assert "PatientID" not in attributes


def test_several_values_where_one_is_expected_are_told() -> None:
    instance = scanned({0x00180015: ("CS", b"HEAD\\NECK ")})
    assert instance.attributes["BodyPartExamined"] == "HEAD"
    assert has_warning(instance.warnings, "multiplicity")


def test_value_in_a_vr_of_another_kind_is_null_and_told() -> None:
    instance = scanned({0x00200013: ("US", b"\1\0"), 0x00100020: ("SQ", b"")})
    assert instance.attributes["InstanceNumber"] is None
    assert instance.attributes["PatientID"] is None
    assert has_warning(instance.warnings, "vr_mismatch")


def test_value_of_unknown_vr_is_read_as_the_standard_says() -> None:
    assert scanned({0x00200013: ("UN", b"12")}).attributes["InstanceNumber"] == 12


def test_value_of_megabytes_is_not_indexed() -> None:
    instance = scanned({0x00080005: ("CS", b"ISO_IR 192"), 0x00104000: ("UT", b"x" * 10_000_000)})
    assert instance.attributes["PatientComments"] is None
    assert has_warning(instance.warnings, "value_too_long")


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "{{7*7}}", "\x1b[31mred", "\u202egnp.exe", "%s%n", "'; --"]
)
def test_hostile_text_is_kept_as_it_is_and_never_told(name: str) -> None:
    instance = scanned(
        {
            CHARACTER_SET: ("CS", b"ISO_IR 192"),
            NAME: ("PN", text(name, "utf-8") if len(name.encode()) % 2 == 0 else name.encode() + b" "),
        }
    )
    stored = instance.attributes["PatientName"]
    assert isinstance(stored, str)
    assert stored.strip()
    assert all(name not in warning.message for warning in instance.warnings)


def test_nul_inside_is_replaced_and_told() -> None:
    instance = scanned({NAME: ("PN", b"A\0B^C ")})
    assert instance.attributes["PatientName"] == "A\ufffdB^C"
    assert has_warning(instance.warnings, "bad_value")


@pytest.mark.parametrize(
    ("terms", "raw", "expected"),
    [
        (b"ISO_IR 100", "Buc^Jérôme".encode("latin-1"), "Buc^Jérôme"),
        (b"ISO_IR 192", "Wang^小東".encode(), "Wang^小東"),
        (b"ISO-IR 100", "Äneas".encode("latin-1") + b" ", "Äneas"),
        (b"iso_ir 144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        (b"GB18030", "王^小东".encode("gb18030"), "王^小东"),
        (b"GB18030", "俓\u8bd5".encode("gb18030"), "俓\u8bd5"),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        (
            b"ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        ),
    ],
)
def test_characters_are_decoded_without_a_warning(terms: bytes, raw: bytes, expected: str) -> None:
    instance = scanned({CHARACTER_SET: ("CS", terms + b" " * (len(terms) % 2)), NAME: ("PN", raw)})
    assert instance.attributes["PatientName"] == expected
    assert not has_warning(instance.warnings, "charset")


@pytest.mark.parametrize(
    ("terms", "raw"),
    [
        (b"", "Jérôme".encode("latin-1")),
        (b"ISO_IR 192", "Jérôme".encode("latin-1")),
        (b"ISO_IR 6", b"\xe9\xe8"),
        (b"\\ISO 2022 IR 87", b"Yamada=\x1b$B;3E"),
        (b"\\ISO 2022 IR 87", b"Yamada=\x1b"),
        (b"\\ISO 2022 IR 87", b"Yamada=\x1b$)C\xb1\xe8"),
        (b"ISO_IR 999", "Jérôme".encode("latin-1")),
        (b"\xff\xfe", b"\xe9\xe8"),
        (b"GB18030", b"\xff\xff"),
    ],
)
def test_wrong_characters_are_replaced_and_told(terms: bytes, raw: bytes) -> None:
    instance = scanned({CHARACTER_SET: ("CS", terms), NAME: ("PN", raw)})
    assert isinstance(instance.attributes["PatientName"], str)
    assert has_warning(instance.warnings, "charset")


def test_character_set_does_not_touch_codes() -> None:
    instance = scanned({CHARACTER_SET: ("CS", b"ISO_IR 192"), 0x00080060: ("CS", b"C\xc3")})
    assert instance.attributes["Modality"] == "C\ufffd"
    assert has_warning(instance.warnings, "charset")


@given(terms=st.lists(st.sampled_from(["", "ISO_IR 192", "ISO 2022 IR 87", "ISO 2022 IR 149", "GBK", "x"]), max_size=3),
       raw=st.binary(max_size=40))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_any_character_set_become_text(terms: list[str], raw: bytes) -> None:
    decoded, _ = character_set(terms).decode(raw, b"^=\\")
    decoded.encode("utf-8")


@given(st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_no_text_makes_a_decoder_raise(value: str) -> None:
    for decode in (decode_date, decode_time, decode_decimal, decode_integer):
        decode(value)


@given(number=st.integers(-(2**31), 2**31 - 1))
@settings(max_examples=50, deadline=None)
def test_every_integer_string_is_read(number: int) -> None:
    assert decode_integer(str(number)) == (number, None)


def test_image_attributes_are_in_the_index() -> None:
    attributes = scan(part10(image())).attributes
    assert (attributes["Rows"], attributes["BitsStored"], attributes["PhotometricInterpretation"]) == (
        4, 12, "MONOCHROME2"
    )  # fmt: skip


def test_header_with_a_character_set_that_pydicom_cannot_look_up_is_still_read() -> None:
    data = part10(identity(RT_PLAN) | {CHARACTER_SET: ("CS", b"ISO\0IR"), NAME: ("PN", b"A^B ")})
    instance = scan(data)
    assert has_warning(instance.warnings, "charset")
    assert read_header(header_bytes(data, instance), instance.transfer_syntax_uid).PatientName == "A^B"
