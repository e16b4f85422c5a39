"""The multipart reader gives back what was sent, however it was cut on its way."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_svc.dicomweb.multipart_reader import MultipartReader
from gateway_svc.http.refusals import BrokenBody

BOUNDARY = "x-1"


async def _read(content: bytes, cuts: Sequence[int] = ()) -> list[tuple[str, bytes]]:
    edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]

    async def body() -> AsyncIterator[bytes]:
        for start, stop in itertools.pairwise(edges):
            if stop > start:
                yield content[start:stop]

    parts = MultipartReader(body(), BOUNDARY).parts()
    return [(part.content_type, b"".join([chunk async for chunk in part.content])) async for part in parts]


def _body(parts: Sequence[bytes]) -> bytes:
    pieces = [b"--x-1\r\nContent-Type: a/b\r\nX: y\r\n\r\n" + part + b"\r\n" for part in parts]
    return b"".join(pieces) + b"--x-1--\r\nepilogue"


# Pieces of boundaries and line breaks inside of parts are what such readers stumble over.
_CONTENT = st.lists(
    st.one_of(
        st.binary(max_size=30), st.sampled_from([b"\r\n", b"--", b"\r\n--", b"\r\n--x-", b"--x-1", b"\n--x-1", b"\r"])
    ),
    max_size=8,
).map(b"".join)


@given(parts=st.lists(_CONTENT, max_size=4), cuts=st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=300)
async def test_parts_come_out_as_they_went_in(parts: list[bytes], cuts: list[int]) -> None:
    parts = [part for part in parts if b"\r\n--x-1" not in b"\r\n" + part]
    assert await _read(_body(parts), cuts) == [("a/b", part) for part in parts]


@given(cut=st.integers(0, 10_000), parts=st.lists(_CONTENT, min_size=1, max_size=3))
async def test_every_early_end_is_noticed(parts: list[bytes], cut: int) -> None:
    parts = [part for part in parts if b"\r\n--x-1" not in b"\r\n" + part]
    content = _body(parts).removesuffix(b"--\r\nepilogue")
    with pytest.raises(BrokenBody):
        await _read(content[: cut % (len(content) + 1)])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"preamble\r\n--x-1\r\n\r\na\r\n--x-1--", [("", b"a")]),
        (b"\r\n--x-1\r\n\r\na\r\n--x-1--", [("", b"a")]),
        (b"--x-1 \t\r\nContent-type:  A/B; c=d \r\n\r\na\r\n--x-1--", [("A/B; c=d", b"a")]),
        (b"--x-1\nContent-Type: a/b\n\na\r\n--x-1--", [("a/b", b"a")]),
        (b"--x-1\r\n\r\n--x-1\r\n\r\nb\r\n--x-1--", [("", b""), ("", b"b")]),
    ],
    ids=["preamble", "line break first", "padding", "bare line feeds", "empty part"],
)
async def test_odd_bodies_of_real_senders_are_read(content: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert await _read(content) == expected


@pytest.mark.parametrize("boundary", ["", "x" * 300, "ü"])
async def test_boundary_that_cannot_be_is_refused(boundary: str) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    with pytest.raises(BrokenBody, match="boundary"):
        MultipartReader(nothing(), boundary)
