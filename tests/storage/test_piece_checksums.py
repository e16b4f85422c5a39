"""Checksums of pieces: whatever part is read, they cover it, and notice each byte that is another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.errors import DataLoss
from storage_svc.keeping import piece_checksums
from storage_svc.keeping.piece_checksums import PieceChecksums, PieceDigest, piece_bytes_for

SIZES = [1, 200, 1 << 20, (1 << 20) + 1, (3 << 20) + 17]


def digest(content: bytes, first: int, chunk: int = 1 << 20) -> PieceChecksums:
    pieces = PieceDigest(first, len(content))
    for start in range(0, len(content), chunk):
        pieces.update(content[start : start + chunk])
    return PieceChecksums.from_bytes(pieces.packed())


def content_of(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@given(st.sampled_from(SIZES), st.data())
def test_what_is_read_around_a_part_proves_it_and_nothing_else_does(size: int, data: st.DataObject) -> None:
    content = content_of(size)
    first = data.draw(st.integers(1, size))
    checksums = digest(content, first, chunk=data.draw(st.sampled_from([1000, 65536, 1 << 20, 1 << 30])))
    offset = data.draw(st.integers(0, size - 1))
    length = data.draw(st.integers(1, size - offset))
    around = checksums.pieces_around(offset, length, size)
    if around is None:
        assert piece_bytes_for(size) == 0
        assert offset + length > first
        return
    begin, end = around
    assert begin <= offset
    assert offset + length <= end <= size
    read = content[begin:end]
    assert checksums.prove(begin, read)
    flipped = bytearray(read)
    flipped[data.draw(st.integers(0, len(read) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert not checksums.prove(begin, bytes(flipped))


def test_a_part_is_proven_by_little_more_than_itself() -> None:
    size = 20 << 20
    checksums = digest(content_of(size), 1000)
    begin, end = checksums.pieces_around(10 << 20, 100, size) or (0, size)
    assert end - begin <= 2 * piece_bytes_for(size)
    assert checksums.pieces_around(0, 500, size) == (0, 1000)


def test_they_take_little_room() -> None:
    assert len(PieceDigest(1000, 500_000).packed()) == piece_checksums._HEADER.size
    pieces = PieceDigest(1000, 2 << 30)
    pieces.update(bytes(1000))
    assert piece_bytes_for(2 << 30) == 256 * 1024
    assert len(pieces.packed()) == piece_checksums._HEADER.size + 4


def test_bytes_over_the_end_prove_nothing() -> None:
    content = content_of(2 << 20)
    checksums = digest(content, 1000)
    begin, end = checksums.pieces_around(1 << 20, 1 << 20, len(content)) or (0, 0)
    assert end == len(content)
    assert not checksums.prove(begin, content[begin:] + bytes(1 << 20))


@pytest.mark.parametrize("packed", [b"", b"\2", b"\2" + bytes(20), bytes(13)])
def test_damaged_checksums_are_not_believed(packed: bytes) -> None:
    with pytest.raises(DataLoss):
        PieceChecksums.from_bytes(packed)
