"""The first frames of a process, which several threads encode while OpenJPH still fills its tables."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np

from imaging.codecs.encode import encode_frame
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import HTJ2K_LOSSLESS_RPCL

PROCESSES, THREADS = 200, 8
"""Where nothing guards OpenJPH 0.26.3, it spoils a frame in 1 to 30 of a hundred processes."""

_SAMPLES = np.random.default_rng(0).integers(0, 4096, (16, 16), dtype=np.uint16)
_PIXELS = PixelDescription(16, 16, 1, "MONOCHROME2", 16, 16, 15, 0)


def test_the_first_frames_that_threads_encode_at_once_are_those_that_are_encoded_later() -> None:
    spoilt = subprocess.run([sys.executable, __file__]).returncode
    assert spoilt == 0


def _encoded() -> bytes:
    return encode_frame(_SAMPLES, HTJ2K_LOSSLESS_RPCL, _PIXELS)


def _are_first_frames_spoilt() -> bool:
    frames: list[bytes] = []
    threads = [threading.Thread(target=lambda: frames.append(_encoded())) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return frames != [_encoded()] * THREADS


def _spoilt_processes() -> int:
    """Each child is a process in which nothing was encoded yet, and costs no new interpreter."""
    sys.setswitchinterval(1e-6)
    spoilt = 0
    for _ in range(PROCESSES):
        child = os.fork()
        if child == 0:
            os._exit(int(_are_first_frames_spoilt()))
        spoilt += os.waitpid(child, 0)[1] != 0
    return spoilt


if __name__ == "__main__":
    sys.exit(_spoilt_processes())
