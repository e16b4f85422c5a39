"""The intake process: scans, digests and writes what arrived, beside the process that serves.

Both are Python, and one interpreter cannot serve calls and examine instances at the same time without its threads
waiting for each other: that wait cost more than the work (`benchmarks/README.md`). So bytes that arrived lie in shared
memory (`arena.py`), where a child process (`process.py`) examines them and makes objects of them, many at a time;
the service tells it what to do (`jobs.py`, `intake.py`) and alone knows the index.
"""
