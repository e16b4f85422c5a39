"""C-STORE into both archives: by DCMTK's storescu, and by a sender that waits for nothing but answers."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import uvloop
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from benchmarks.orthanc import Orthanc
from benchmarks.ours import Ours
from benchmarks.side import ServerProcess
from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.requestor import RemoteAe, associate
from imaging.dicom.file_meta import read_file_meta

MISSING = "DCMTK's storescu is not installed: it does not send. On Debian: `apt-get install dcmtk`."
_ALLOWED_SECONDS = 240


def is_installed() -> bool:
    """True if the sender is there."""
    return shutil.which("storescu") is not None


class DimseArchive(Protocol):
    """One archive, running."""

    name: str
    port: int

    def cpu_seconds(self) -> float:
        """Processor time of all of its processes so far."""

    def close(self) -> None:
        """End it."""


class OurDimse:
    """Storage and gateway in processes of their own, two acceptors."""

    name = "ours"

    def __init__(self, folder: Path) -> None:
        self._storage = Ours(folder)
        self.port = free_port()
        settings = {
            "storage.address": self._storage.address,
            "gateway.dimse_address": f"127.0.0.1:{self.port}",
            "gateway.http_address": "127.0.0.1:0",
            "telemetry.log_level": "WARNING",
        }
        command = [sys.executable, "-m", "imaging", "serve", "gateway", "--json", "--address", "127.0.0.1:0"]
        command += ["--data", str(folder)]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self._child.stdout is not None
        if not self._child.stdout.readline():
            raise RuntimeError("The gateway did not start; its log stands above.")
        self._process = ServerProcess(self._child.pid)

    def cpu_seconds(self) -> float:
        """Of storage, its intake, the gateway and the acceptors."""
        return self._storage.process.cpu_seconds() + self._process.cpu_seconds()

    def close(self) -> None:
        """Drain and end."""
        self._child.terminate()
        self._child.wait(60)
        assert self._child.stdout is not None
        self._child.stdout.close()
        self._storage.close()


class OrthancDimse:
    """Orthanc with its DICOM server."""

    name = "orthanc"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._orthanc = Orthanc(folder, dicom_port=self.port)

    def cpu_seconds(self) -> float:
        """Of its process."""
        return self._orthanc.process.cpu_seconds()

    def close(self) -> None:
        """End it as its users do."""
        self._orthanc.close()


def write_parts(folder: Path, files: Sequence[bytes], associations: int) -> list[Path]:
    """Files in as many folders as there are associations."""
    parts = [folder / str(number) for number in range(associations)]
    for number, part in enumerate(parts):
        part.mkdir(parents=True)
        for index, content in enumerate(files[number::associations]):
            (part / f"{index:04}.dcm").write_bytes(content)
    return parts


def send(files: Sequence[bytes], port: int, associations: int) -> None:
    """Send over so many associations at once, by our own requestor with Nagle's algorithm off.

    storescu leaves the last segment of a message to wait for an acknowledgement, which Linux delays by 40 ms where the
    receiver does not see to it: with it, one association measures that delay and little else.

    Raises
    ------
    RuntimeError
        If something was not stored.
    """

    async def one(share: Sequence[bytes]) -> None:
        remote = RemoteAe(f"127.0.0.1:{port}", "ANY")
        association = await associate(remote, "BENCHMARK", [(CTImageStorage, [ExplicitVRLittleEndian])])
        (context,) = association.contexts.values()
        for number, content in enumerate(share):
            meta = read_file_meta(content)
            command = Command(
                CommandField.C_STORE,
                affected_sop_class_uid=meta.media_storage_sop_class_uid,
                affected_sop_instance_uid=meta.media_storage_sop_instance_uid,
                message_id=number + 1,
                priority=0,
            )
            await association.send(context, command, content[meta.end :])
            answer = await association.receive()
            if answer is None or answer.command.status != 0:
                raise RuntimeError("an instance was not stored")
        await association.release()

    async def together() -> None:
        await asyncio.gather(*(one(files[first::associations]) for first in range(associations)))

    uvloop.run(together())


def send_by_storescu(parts: Sequence[Path], port: int) -> None:
    """Send each folder over an association of its own, all at once; every instance is acknowledged.

    Raises
    ------
    RuntimeError
        If something was not stored.
    """
    command = ["storescu", "-R", "--max-send-pdu", "131072", "-aec", "ANY", "+sd", "127.0.0.1", str(port)]
    senders = [
        subprocess.Popen([*command, str(part)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for part in parts
    ]
    for sender in senders:
        _, said = sender.communicate(timeout=_ALLOWED_SECONDS)
        if sender.returncode != 0 or b"Error" in said or b"Refused" in said:
            raise RuntimeError(f"storescu did not store all: {said.decode(errors='replace')[-500:]}")


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
