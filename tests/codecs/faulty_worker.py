"""A decoding worker whose decoder obeys the frame: it crashes, hangs, eats memory, spins or lies when told so."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.codecs import decode, worker


def _obey(frame_bytes: bytearray, transfer_syntax_uid: str, pixels: Any, *, resolution_level: int) -> NDArray[Any]:
    order = bytes(frame_bytes).rstrip(b"\0")
    if order == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif order == b"exit":
        os._exit(7)
    elif order == b"hang":
        time.sleep(600)
    elif order == b"spin":
        while True:
            pass
    elif order == b"bomb":
        np.ones(16 << 30, np.uint8)
    elif order == b"lie":
        return np.zeros((3, 3), np.uint8)
    elif order.startswith(b"wait:"):
        Path(order[5:].decode()).write_text("begun")  # a FIFO: tells the test that decoding has begun
        time.sleep(600)
    elif order == b"environment":
        return np.full((pixels.rows, pixels.columns), "SECRET_TOKEN" in os.environ, np.uint8)
    return decode.decode_frame(frame_bytes, transfer_syntax_uid, pixels, resolution_level=resolution_level)


if __name__ == "__main__":
    worker.decode_frame = _obey
    worker.main(sys.argv[1:])
