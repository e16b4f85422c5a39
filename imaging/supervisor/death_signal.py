"""A child that dies with its parent, however the parent dies."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # <sys/prctl.h>


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel (Linux) for SIGKILL as soon as the parent is gone; end at once if it is gone already.

    SIGKILL and not SIGTERM: nothing may hold the ports and the data folder against the next start, and every service
    is safe to be killed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        os._exit(1)
