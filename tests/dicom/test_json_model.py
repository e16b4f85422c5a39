"""The JSON models equal pydicom's, element by element; an odd value takes no other along, and is told."""

from __future__ import annotations

import json
import logging
import random
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, config
from pydicom.uid import DeflatedExplicitVRLittleEndian

from imaging.dicom.header import header_bytes, read_header
from imaging.dicom.json_model import JsonModel, JsonModels
from imaging.dicom.scanner import scan
from imaging.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from imaging.errors import InvalidDicom
from tests.dicom.test_scan_fuzz import mutate, mutations
from tests.dicom.test_scan_wheel_files import INSTANCES, name
from tests.dicom.wheel_files import wheel_file


def header_of(data: bytes) -> tuple[bytes, str]:
    scanned = scan(data, require_pixel_data=False)
    return header_bytes(data, scanned), EXPLICIT_VR_LITTLE_ENDIAN if scanned.inflated else scanned.transfer_syntax_uid


def pydicom_model(header: bytes, syntax: str) -> dict[str, Any]:
    """What pydicom gives, bulk data by path, without group lengths, which the Standard leaves out (PS3.18 F.2.2)."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data_set = read_header(header, syntax)
            return by_path(
                data_set.to_json_dict(suppress_invalid_tags=True, bulk_data_element_handler=lambda element: ""),
                "bulkdata",
            )
    finally:
        logging.disable(logging.NOTSET)


def by_path(model: dict[str, Any], above: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for tag, element in model.items():
        if tag.endswith("0000"):
            continue
        if "BulkDataURI" in element:
            kept[tag] = {"vr": element["vr"], "BulkDataURI": f"{above}/{tag}"}
        elif element["vr"] == "SQ":
            items = enumerate(element["Value"], start=1)
            kept[tag] = {**element, "Value": [by_path(item, f"{above}/{tag}/{number}") for number, item in items]}
        else:
            kept[tag] = element
    return kept


def model_of(header: bytes, syntax: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    model = JsonModels().model(header, syntax)
    return json.loads(model.content, parse_constant=pytest.fail), model.flaws


def flawed_tags(flaws: tuple[str, ...]) -> set[str]:
    """The outermost tags that the flaws are about."""
    return {flaw.split()[1][1:10].replace(",", "") for flaw in flaws}


def is_refused_by_pydicom(header: bytes, syntax: str, tag: str) -> bool:
    with config.strict_reading():
        try:
            read_header(header, syntax)[int(tag, 16)].to_json_dict(lambda element: "", 1024)
        except Exception:  # noqa: BLE001 - whatever it is
            return True
    return False


@pytest.mark.parametrize("path", INSTANCES, ids=name)
def test_a_wheel_file_has_the_model_that_pydicom_gives(path: Path) -> None:
    header, syntax = header_of(path.read_bytes())
    own, flaws = model_of(header, syntax)
    reference = pydicom_model(header, syntax)
    assert {tag: own.get(tag) for tag in reference} == reference
    assert not flaws
    for tag in own.keys() - reference.keys():  # more than pydicom, which drops what is odd
        assert is_refused_by_pydicom(header, syntax, tag)


@given(
    seed=st.sampled_from(
        (
            *("MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "test-SR.dcm", "rtplan.dcm"),
            *("image_dfl.dcm", "CT_small.dcm", "chrX1.dcm", "chrGreek.dcm", "reportsi.dcm", "JPEG2000.dcm"),
        )
    ),
    changes=mutations,
)
@settings(max_examples=800)
def test_what_pydicom_gives_of_a_mutated_file_is_given_or_told_as_odd(
    seed: str, changes: list[tuple[str, float, int, int]]
) -> None:
    try:
        header, syntax = header_of(mutate(wheel_file(seed), changes))
    except InvalidDicom:
        return
    own, flaws = model_of(header, syntax)
    try:
        reference = pydicom_model(header, syntax)
    except Exception:  # noqa: BLE001 - pydicom may fail on all of it; ours must not
        return
    told = flawed_tags(flaws)
    for tag, element in reference.items():
        # A character set with NUL is no character set for pydicom's reader.
        assert own.get(tag) == element or tag in told or tag == "00080005"


def test_models_of_many_headers_do_not_depend_on_those_before() -> None:
    headers = [header_of(path.read_bytes()) for path in INSTANCES]
    alone = [JsonModels().model(*header) for header in headers]
    order = [*range(len(headers)), *range(len(headers))]
    random.Random(7).shuffle(order)
    together = JsonModels()
    for index in order:
        assert together.model(*headers[index]) == alone[index]


def test_what_is_remembered_is_bounded() -> None:
    header, syntax = header_of(wheel_file("CT_small.dcm"))
    at = header.index(b"\x08\x00\x18\x00UI") + 8
    models = JsonModels(most_bytes=100_000)
    largest = 0
    for number in range(300):
        changed = header[:at] + f"{number:05}".encode() + header[at + 5 :]
        assert f"{number:05}".encode() in models.model(changed, syntax).content
        largest = max(largest, models.remembered_bytes)
    assert 50_000 < largest <= 110_000


@pytest.mark.parametrize("file", ["CT_small.dcm", "test-SR.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"])
def test_a_header_that_is_cut_off_anywhere_is_refused_or_whole(file: str) -> None:
    header, syntax = header_of(wheel_file(file))
    for end in range(0, len(header), 7):
        refused: InvalidDicom | None = None
        try:
            json.loads(JsonModels().model(header[:end], syntax).content)
        except InvalidDicom as error:
            refused = error
        assert refused is None or (refused.hint and "byte" in refused.where)


def explicit(tag: int, vr: str, value: bytes, order: str = "<") -> bytes:
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in ("OB", "OW", "UN", "SQ", "UT", "UC", "OF", "OD"):
        return head + b"\0\0" + struct.pack(order + "I", len(value)) + value
    return head + struct.pack(order + "H", len(value)) + value


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


LEFT_OUT, ODD = "VALUE_LEFT_OUT", "VALUE_ODD"


@pytest.mark.parametrize(
    ("vr", "value", "expected", "flaw"),
    [
        ("DS", b"1.5\\nonsense ", None, LEFT_OUT),
        ("DS", b"1e999", None, LEFT_OUT),
        ("DS", b"NaN ", None, LEFT_OUT),
        ("DS", b"0.97656250000000001 ", [0.9765625], ""),
        ("DS", b"1\\\\3 ", [1.0, None, 3.0], ""),
        ("DS", b" -1.50 \\+2e1", [-1.5, 20.0], ""),
        ("IS", b"12.5", None, LEFT_OUT),
        ("IS", b"12.0", [12], ""),
        ("IS", b"99999999999 ", None, LEFT_OUT),
        ("US", b"\x01\x02\x03", None, LEFT_OUT),
        ("FD", struct.pack("<3d", float("nan"), float("inf"), 1.5), ["NaN", "inf", 1.5], ODD),
        ("FL", struct.pack("<f", float("-inf")), ["-inf"], ODD),
        ("SH", b"longer than sixteen characters", ["longer than sixteen characters"], ""),
        ("CS", b"lower case", ["lower case"], ""),
        ("LO", b"caf\xe9", ["caf\xe9"], ODD),
        ("LO", b'quote " and \\ and \x01 ', ['quote "\u0020and', " and \x01"], ""),
        ("LT", b"one \\ value\r\n ", ["one \\ value\r\n"], ""),
        ("PN", b"A^B=C=D", [{"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D"}], ""),
        ("PN", b"A^B\\C^D ", [{"Alphabetic": "A^B"}, {"Alphabetic": "C^D"}], ""),
        ("AT", b"\x08\x00\x18\x00", ["00080018"], ""),
        ("UI", b"1.2.3\0", ["1.2.3"], ""),
        ("UI", b"", "empty", ""),
    ],
)
def test_a_value_is_given_as_far_as_json_can_express_it(vr: str, value: bytes, expected: Any, flaw: str) -> None:
    tag = {"PN": 0x00104000, "AT": 0x00209165}.get(vr, 0x00114000 if vr == "US" else 0x00104001)
    header = explicit(tag, vr, value) + explicit(0x00200013, "IS", b"1 ")
    own, flaws = model_of(header, EXPLICIT_VR_LITTLE_ENDIAN)
    assert own["00200013"] == {"vr": "IS", "Value": [1]}
    members = {} if expected == "empty" else {"Value": expected}
    assert own.get(f"{tag:08X}") == (None if expected is None else {"vr": vr, **members})
    assert flaws == ((f"{flaw} ({tag >> 16:04X},{tag & 0xFFFF:04X})",) if flaw else ())


def test_an_odd_value_in_an_item_is_told_with_its_path_and_leaves_the_rest() -> None:
    inner = explicit(0x00080100, "SH", b"A ") + explicit(0x00181310, "DS", b"x ")
    header = explicit(0x00081140, "SQ", item(b"") + item(inner))
    own, flaws = model_of(header, EXPLICIT_VR_LITTLE_ENDIAN)
    assert own == {"00081140": {"vr": "SQ", "Value": [{}, {"00080100": {"vr": "SH", "Value": ["A"]}}]}}
    assert flaws == (f"{LEFT_OUT} (0008,1140)[2].(0018,1310)",)


def test_binary_values_are_inline_up_to_a_limit_and_little_endian() -> None:
    header = explicit(0x00111001, "OW", b"\0\1\0\2", ">") + explicit(0x00111002, "OB", bytes(769), ">")
    own, flaws = model_of(header, EXPLICIT_VR_BIG_ENDIAN)
    bulk = {"vr": "OB", "BulkDataURI": "bulkdata/00111002"}
    assert own == {"00111001": {"vr": "OW", "InlineBinary": "AQACAA=="}, "00111002": bulk}
    assert not flaws


def test_equal_bulk_values_in_different_items_have_paths_of_their_own() -> None:
    bulk = explicit(0x54001010, "OW", bytes(800))
    header = explicit(0x54000100, "SQ", item(explicit(0x54000100, "SQ", item(bulk))) + item(bulk) + item(bulk))
    models = JsonModels()
    for _ in range(2):
        (model, *others) = json.loads(models.model(header, EXPLICIT_VR_LITTLE_ENDIAN).content)["54000100"]["Value"]
        (inner,) = model["54000100"]["Value"]
        found = [each["54001010"]["BulkDataURI"] for each in (inner, *others)]
        assert found == [f"bulkdata/54000100/{path}/54001010" for path in ("1/54000100/1", "2", "3")]


def test_bulk_values_that_the_header_lost_for_their_size_are_told() -> None:
    for header in (b"", explicit(0x00420010, "ST", b"x ")):
        model = JsonModels().model(header, EXPLICIT_VR_LITTLE_ENDIAN, [0x00420011, 0x00081140])
        expected = {"vr": "OB", "BulkDataURI": "bulkdata/00420011"}
        assert json.loads(model.content).pop("00420011") == expected
        assert "00081140" not in json.loads(model.content)


@pytest.mark.parametrize(("signed", "vr", "value"), [(0, "US", 65535), (1, "SS", -1)])
def test_the_vr_that_depends_on_the_pixels_is_found_before_and_after_them(signed: int, vr: str, value: int) -> None:
    header = (
        implicit(0x00189810, b"\xff\xff")
        + implicit(0x00280103, struct.pack("<H", signed))
        + implicit(0x00280106, b"\xff\xff")
        + implicit(0x00283000, item(implicit(0x00283002, b"\xff\xff\0\0\x10\0") + implicit(0x00283006, bytes(4))))
    )
    own, _ = model_of(header, IMPLICIT_VR_LITTLE_ENDIAN)
    assert own["00189810"] == own["00280106"] == {"vr": vr, "Value": [value]}
    (lut,) = own["00283000"]["Value"]
    assert lut["00283002"] == {"vr": vr, "Value": [65535, 0, 16]}
    assert lut["00283006"]["vr"] == "OW"


def test_private_elements_get_their_vr_from_their_creator() -> None:
    header = implicit(0x00290010, b"SIEMENS CSA HEADER") + implicit(0x00291008, b"IMAGE NUM 4 ")
    other = implicit(0x00290010, b"NOBODY KNOWS ME ") + implicit(0x00291008, b"IMAGE NUM 4 ")
    models = JsonModels()
    assert json.loads(models.model(header, IMPLICIT_VR_LITTLE_ENDIAN).content)["00291008"]["vr"] == "CS"
    assert json.loads(models.model(other, IMPLICIT_VR_LITTLE_ENDIAN).content)["00291008"]["vr"] == "UN"


def test_a_sequence_under_un_is_read_as_the_standard_says_and_left_out_if_it_is_none() -> None:
    sequence = item(implicit(0x00080100, b"A "))
    own, flaws = model_of(explicit(0x00081140, "UN", sequence), EXPLICIT_VR_LITTLE_ENDIAN)
    assert own["00081140"] == {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["A"]}}]}
    assert not flaws
    own, flaws = model_of(explicit(0x00081140, "UN", b"no sequence!"), EXPLICIT_VR_LITTLE_ENDIAN)
    assert own == {}
    assert [flaw.split()[0] for flaw in flaws] == [LEFT_OUT]


def test_items_have_a_character_set_of_their_own() -> None:
    greek = explicit(0x00080005, "CS", b"ISO_IR 126") + explicit(0x00080104, "LO", "Ωμ".encode("iso8859-7"))
    header = (
        explicit(0x00080005, "CS", b"ISO_IR 100")
        + explicit(0x00081140, "SQ", item(greek))
        + explicit(0x00104001, "LO", "né".encode("latin-1") + b" ")
    )
    own, flaws = model_of(header, EXPLICIT_VR_LITTLE_ENDIAN)
    assert own["00081140"]["Value"][0]["00080104"]["Value"] == ["Ωμ"]
    assert own["00104001"]["Value"] == ["né"]
    assert not flaws


def test_a_deflated_header_is_given_inflated() -> None:
    header, syntax = header_of(wheel_file("image_dfl.dcm"))
    assert syntax == EXPLICIT_VR_LITTLE_ENDIAN != DeflatedExplicitVRLittleEndian
    assert JsonModels().model(header, syntax).content.startswith(b'{"0008')


def test_sequences_deeper_than_the_scanner_allows_are_refused_not_followed() -> None:
    nested = b""
    for _ in range(200):
        nested = explicit(0x00081140, "SQ", item(nested)) if len(nested) < 60_000 else nested
    with pytest.raises(InvalidDicom):
        JsonModels().model(nested, EXPLICIT_VR_LITTLE_ENDIAN)


def test_an_empty_data_set_is_an_empty_object() -> None:
    assert JsonModels().model(b"", EXPLICIT_VR_LITTLE_ENDIAN) == JsonModel(b"{}")
    assert Dataset().to_json_dict() == {}
