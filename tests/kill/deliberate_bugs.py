"""Proof that the kill test can fail: each deliberate bug must be caught.

`python -m tests.kill.deliberate_bugs` runs the scenario with each bug, with other seeds until it is caught, at most
twelve times; exit code 1 when one gets through.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import get_args

from imaging.deliberate_bug import BugName
from tests.kill.scenario import run_kill_test

TRIES = 12


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40)
    options = parser.parse_args()
    escaped = []
    for bug in get_args(BugName):
        for seed in range(1, TRIES + 1):
            with tempfile.TemporaryDirectory(prefix="imaging-kill-") as folder:
                outcome = run_kill_test(Path(folder), options.seconds, seed, bug)
            if outcome.broken:
                sys.stdout.write(f"{bug}: caught with seed {seed}: {len(outcome.broken)} violations\n")
                sys.stdout.write("".join(f"    {sentence}\n" for sentence in outcome.broken[:3]))
                break
        else:
            sys.stdout.write(f"{bug}: NOT caught in {TRIES} runs\n")
            escaped.append(bug)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
