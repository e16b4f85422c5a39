"""The digests of an instance: the same data set has the same identity, however it is wrapped and cut."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import google_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.dicom.digest import DataSetDigest, data_set_digest
from imaging.dicom.scanner import scan
from tests.dicom.part10 import data_set, element, file_meta, image, part10

DATA = part10(image())
OFFSET = scan(DATA).data_set_offset


def test_digest_begins_after_the_file_meta() -> None:
    digest = data_set_digest(DATA, scan(DATA))
    assert digest.data_set_sha256 == hashlib.sha256(DATA[OFFSET:]).digest()
    assert digest.object_crc32c == google_crc32c.value(DATA)
    assert digest.size_bytes == len(DATA)


def test_same_data_set_in_another_file_meta_is_the_same() -> None:
    other = b"II*\0" + file_meta(extra=element(0x00020013, "SH", b"OTHER "))[4:] + data_set(image())
    first, second = data_set_digest(DATA, scan(DATA)), data_set_digest(other, scan(other))
    assert first.data_set_sha256 == second.data_set_sha256
    assert first.object_crc32c != second.object_crc32c


@given(st.lists(st.integers(0, len(DATA)), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_cutting_gives_the_same_digest(cuts: list[int]) -> None:
    digest = DataSetDigest(OFFSET)
    bounds = [0, *sorted(cuts), len(DATA)]
    for begin, end in pairwise(bounds):
        digest.update(memoryview(DATA)[begin:end])
    assert digest.data_set_sha256 == hashlib.sha256(DATA[OFFSET:]).digest()
    assert digest.object_crc32c == google_crc32c.value(DATA)
