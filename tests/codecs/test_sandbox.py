"""A decoder that crashes, hangs or eats memory costs its frame and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wheel_images import describe, frames, wheel_file

from imaging.codecs.decode import decode_frame
from imaging.codecs.encode import encode_frame
from imaging.codecs.sandbox import DecodePool, SandboxLimits
from imaging.dicom import transfer_syntax as ts
from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import PixelDataInvalid, Unavailable, UnsupportedTransferSyntax

FAULTY = (sys.executable, "-P", str(Path(__file__).parent / "faulty_worker.py"))
IMAGE = np.arange(48, dtype=np.uint8).reshape(6, 8)
PIXELS = PixelDescription(6, 8, 1, "MONOCHROME2", 8, 8, 7, 0)
GOOD = encode_frame(IMAGE, ts.RLE_LOSSLESS, PIXELS)


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    with DecodePool(1, limits=SandboxLimits(wall_seconds=30, cpu_seconds=20)) as opened:
        yield opened


@pytest.fixture
def faulty_pool() -> Iterator[DecodePool]:
    limits = SandboxLimits(wall_seconds=1.5, cpu_seconds=20, memory_bytes=1 << 30)
    with DecodePool(1, limits=limits, worker_command=FAULTY) as opened:
        yield opened


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def test_a_frame_decoded_in_a_worker_equals_one_decoded_here(pool: DecodePool) -> None:
    for name in ("JPGExtended.dcm", "examples_ybr_color.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_rle_32bit.dcm"):
        header = wheel_file(name)
        frame, syntax, pixels = next(frames(header))[0], header.file_meta.TransferSyntaxUID, describe(header)
        decoded = await pool.decode(frame, syntax, pixels)
        expected = decode_frame(frame, syntax, pixels)
        assert decoded.dtype == expected.dtype
        np.testing.assert_array_equal(decoded, expected)


async def test_native_frames_start_no_worker(pool: DecodePool) -> None:
    before = _children()
    decoded = await pool.decode(IMAGE.tobytes(), ts.EXPLICIT_VR_LITTLE_ENDIAN, PIXELS)
    np.testing.assert_array_equal(decoded, IMAGE)
    assert _children() == before


async def test_one_worker_serves_many_frames(pool: DecodePool) -> None:
    await pool.decode(GOOD, ts.RLE_LOSSLESS, PIXELS)
    workers = _children()
    decoded = await asyncio.gather(*(pool.decode(GOOD, ts.RLE_LOSSLESS, PIXELS) for _ in range(20)))
    assert all(np.array_equal(each, IMAGE) for each in decoded)
    assert _children() == workers


async def test_a_refused_frame_tells_why_and_keeps_the_worker(pool: DecodePool) -> None:
    await pool.decode(GOOD, ts.RLE_LOSSLESS, PIXELS)
    workers = _children()
    with pytest.raises(PixelDataInvalid, match="RLE segment"):
        await pool.decode(b"\1" + b"\0" * 99, ts.RLE_LOSSLESS, PIXELS)
    with pytest.raises(UnsupportedTransferSyntax):
        await pool.decode(b"", "1.2.840.10008.1.2.4.100", PIXELS)
    np.testing.assert_array_equal(await pool.decode(GOOD, ts.RLE_LOSSLESS, PIXELS), IMAGE)
    assert _children() == workers


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (b"crash", "SIGSEGV"),
        (b"exit", "code 7"),
        (b"hang", "longer than 1.5 s"),
        (b"bomb", "memory"),
        (b"lie", "nonsense"),
    ],
)
async def test_a_decoder_gone_wrong_costs_only_its_frame(faulty_pool: DecodePool, order: bytes, reason: str) -> None:
    with pytest.raises(PixelDataInvalid, match=reason):
        await faulty_pool.decode(order, ts.RLE_LOSSLESS, PIXELS)
    np.testing.assert_array_equal(await faulty_pool.decode(GOOD, ts.RLE_LOSSLESS, PIXELS), IMAGE)


async def test_a_decoder_that_spins_is_ended_by_the_kernel() -> None:
    limits = SandboxLimits(wall_seconds=60, cpu_seconds=1)
    async with DecodePool(1, limits=limits, worker_command=FAULTY) as pool:
        with pytest.raises(PixelDataInvalid, match="SIGXCPU"):
            await pool.decode(b"spin", ts.RLE_LOSSLESS, PIXELS)
        np.testing.assert_array_equal(await pool.decode(GOOD, ts.RLE_LOSSLESS, PIXELS), IMAGE)


async def test_a_worker_killed_in_the_middle_of_a_frame_is_replaced(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    async with DecodePool(1, worker_command=FAULTY) as pool:
        before = _children()
        work = asyncio.create_task(pool.decode(b"wait:" + str(begun).encode(), ts.RLE_LOSSLESS, PIXELS))
        await asyncio.to_thread(begun.read_text)
        (worker,) = _children() - before
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(PixelDataInvalid, match="SIGKILL"):
            await work
        np.testing.assert_array_equal(await pool.decode(GOOD, ts.RLE_LOSSLESS, PIXELS), IMAGE)


async def test_a_worker_that_died_idle_is_replaced_unnoticed(pool: DecodePool) -> None:
    before = _children()
    await pool.decode(GOOD, ts.RLE_LOSSLESS, PIXELS)
    (worker,) = _children() - before
    os.kill(worker, signal.SIGKILL)
    await asyncio.to_thread(os.waitid, os.P_PID, worker, os.WEXITED | os.WNOWAIT)
    np.testing.assert_array_equal(await pool.decode(GOOD, ts.RLE_LOSSLESS, PIXELS), IMAGE)


def test_threads_that_end_do_not_take_their_worker_along(pool: DecodePool) -> None:
    results: list[object] = []
    for _ in range(3):
        thread = threading.Thread(
            target=lambda: results.append(pool.decode_blocking(GOOD, ts.RLE_LOSSLESS, PIXELS)), daemon=True
        )
        before = _children()
        thread.start()
        thread.join()
    assert len(results) == 3
    assert _children() == before


def test_workers_see_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch, faulty_pool: DecodePool) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    assert not faulty_pool.decode_blocking(b"environment", ts.RLE_LOSSLESS, PIXELS).any()


def test_a_worker_that_cannot_start_is_not_the_fault_of_the_frame() -> None:
    with (
        DecodePool(1, worker_command=(sys.executable, "-c", "import sys; sys.exit(3)")) as pool,
        pytest.raises(Unavailable, match="code 3"),
    ):
        pool.decode_blocking(GOOD, ts.RLE_LOSSLESS, PIXELS)
    with (
        DecodePool(1, worker_command=("/nowhere/python",)) as pool,
        pytest.raises(Unavailable, match="can be started"),
    ):
        pool.decode_blocking(GOOD, ts.RLE_LOSSLESS, PIXELS)


def test_closing_ends_the_workers_and_refuses_frames() -> None:
    before = _children()
    pool = DecodePool(2)
    pool.decode_blocking(GOOD, ts.RLE_LOSSLESS, PIXELS)
    pool.close_blocking()
    pool.close_blocking()
    assert _children() == before
    with pytest.raises(Unavailable):
        pool.decode_blocking(GOOD, ts.RLE_LOSSLESS, PIXELS)


def test_workers_die_with_a_service_that_is_killed() -> None:
    script = (
        "import sys, time, numpy as np\n"
        "from imaging.codecs.sandbox import DecodePool\n"
        "from imaging.dicom.pixel_description import PixelDescription\n"
        "pool = DecodePool(1)\n"
        f"pool.decode_blocking({GOOD!r}, {ts.RLE_LOSSLESS!r}, {PIXELS!r})\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"
        (worker,) = psutil.Process(service.pid).children()
        service.kill()
    gone, alive = psutil.wait_procs([worker], timeout=20)
    assert gone
    assert not alive


def test_an_impossible_frame_needs_no_worker(pool: DecodePool) -> None:
    before = _children()
    with pytest.raises(PixelDataInvalid, match="65535"):
        pool.decode_blocking(b"", ts.JPEG_2000, PixelDescription(65535, 65535, 1, "MONOCHROME2", 8, 8, 7, 0))
    assert _children() == before


def test_a_worker_is_ready_soon() -> None:
    with DecodePool(1) as pool:
        start = time.perf_counter()
        pool.decode_blocking(GOOD, ts.RLE_LOSSLESS, PIXELS)
        assert time.perf_counter() - start < 10  # 0.25 s on an idle machine; the bound only catches a broken start


_SUBJECTS = ("JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_small_odd_jpeg.dcm", "MR_small_jpeg_ls_lossless.dcm")
_SUBJECTS += ("SC_rgb_jls_lossy_line.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_gdcm_KY.dcm", "MR_small_RLE.dcm")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_damaged_frames_are_refused_or_decoded_but_break_nothing(pool: DecodePool, data: st.DataObject) -> None:
    header = wheel_file(data.draw(st.sampled_from(_SUBJECTS)))
    pixels, syntax = describe(header), header.file_meta.TransferSyntaxUID
    frame = bytearray(next(frames(header))[0])
    for _ in range(data.draw(st.integers(1, 4))):
        reach = min(len(frame), data.draw(st.sampled_from((64, 600, len(frame)))))
        frame[data.draw(st.integers(0, reach - 1))] = data.draw(st.integers(0, 255))
    del frame[data.draw(st.integers(0, len(frame))) if data.draw(st.booleans()) else len(frame) :]
    try:
        decoded = pool.decode_blocking(bytes(frame), syntax, pixels)
    except PixelDataInvalid:
        return
    assert decoded.shape[:2] == (pixels.rows, pixels.columns)
