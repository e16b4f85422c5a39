"""Become a program that is not ours, and end with the supervisor all the same: `… PARENT_PID PROGRAM ARGUMENT…`."""

from __future__ import annotations

import os
import sys

from imaging.supervisor.death_signal import die_with_parent


def main() -> None:
    """Never comes back."""
    parent_pid, program, *arguments = sys.argv[1:]
    die_with_parent(int(parent_pid))  # the kernel keeps that over exec
    os.dup2(2, 1)  # the supervisor keeps what is written to standard error
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    main()
