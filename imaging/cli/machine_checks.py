"""Checks of the machine: ports, disk, durability, versions."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imaging.cli.amounts import size_text
from imaging.cli.check import Check
from imaging.client.endpoints import Endpoints
from imaging.errors import Unavailable
from imaging.rpc.channel import open_channel
from imaging.rpc.connection_settings import ChannelSettings
from imaging.supervisor.addresses import check_free

_LITTLE_ROOM: Final = 10 * 10**9
_NO_ROOM: Final = 10**9
_SLOW_FSYNC_SECONDS: Final = 0.02
"""Over this, ingest is bound by the disk: a laptop SSD takes 0.5 to 5 ms."""

_PACKAGES: Final = (
    "imaging-pipeline",
    "grpcio",
    "protobuf",
    "pydicom",
    "highdicom",
    "imagecodecs",
    "numpy",
    "scipy",
    "scikit-image",
    "SQLAlchemy",
    "reportlab",
)


async def port_checks(endpoints: Endpoints, channel: ChannelSettings) -> list[Check]:
    """Whether each service serves, or its port is free for it."""
    return [await _port_check(name, address, channel) for name, address in endpoints.items()]


async def _port_check(name: str, address: str, settings: ChannelSettings) -> Check:
    async with open_channel(address, settings) as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            pass
        else:
            state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
            if state == "SERVING":
                return Check("ports", name, "ok", f"serving on {address}")
            return Check(
                "ports", name, "warning", f"{state} on {address}", "It is starting, draining, or waits for another."
            )
    try:
        check_free({name: address})
    except Unavailable:
        hint = "Stop that program, or start `imaging up` with another --port-base."
        return Check("ports", name, "failed", f"{address} is held by a program that is not ours", hint)
    return Check("ports", name, "ok", f"{address} is free (not started)")


def disk_checks(data_dir: Path) -> Iterator[Check]:
    """Room, and how long a durable write takes, in the data folder or the nearest one above it that exists."""
    folder = data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    hint = "Free some, or choose another folder with --data DIR."
    if free < _NO_ROOM:
        yield Check("disk", "room", "failed", f"{size_text(free)} free in {folder}", hint)
    elif free < _LITTLE_ROOM:
        yield Check("disk", "room", "warning", f"{size_text(free)} free in {folder}", hint)
    else:
        yield Check("disk", "room", "ok", f"{size_text(free)} free in {folder}")
    try:
        seconds = _fsync_seconds(folder)
    except OSError as error:
        reason = error.strerror or "unknown error"
        yield Check("disk", "durable write", "failed", f"cannot write in {folder}: {reason}", hint)
        return
    text = f"{seconds * 1000:.2f} ms (4 KiB, fsync, median of 15)"
    if seconds > _SLOW_FSYNC_SECONDS:
        slow = "Every acknowledged instance waits for it: a local SSD makes storing faster."
        yield Check("disk", "durable write", "warning", text, slow)
    else:
        yield Check("disk", "durable write", "ok", text)


def _fsync_seconds(folder: Path) -> float:
    times = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".imaging-doctor-") as file:
        for _ in range(15):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def version_checks() -> Iterator[Check]:
    """Versions of what matters for results, for bug reports."""
    yield Check("versions", "Python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield Check("versions", "SQLite", "ok", sqlite3.sqlite_version)
    for package in _PACKAGES:
        try:
            yield Check("versions", package, "ok", metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Check("versions", package, "failed", "not installed", "Run `make setup`, or pip install it.")
