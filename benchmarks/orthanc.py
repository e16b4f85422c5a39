"""The peer: Orthanc of the Debian package with its DICOMweb plugin, by keep-alive HTTP connections on loopback."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.side import ServerProcess
from benchmarks.work import Series

T = TypeVar("T")
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
MISSING = (
    "Orthanc is not installed: peer columns are empty. On Debian: "
    "`apt-get install orthanc orthanc-dicomweb` (and stop its system service)."
)


def is_installed() -> bool:
    """True if the program and its DICOMweb plugin are there."""
    return shutil.which("Orthanc") is not None and _PLUGIN.exists()


def version() -> str:
    """As the program tells it."""
    done = subprocess.run(["Orthanc", "--version"], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).splitlines()[0].strip()


class Orthanc:
    """Orthanc in a process of its own, on a new folder and a free port."""

    name = "orthanc"

    def __init__(self, folder: Path, dicom_port: int = 0) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = _free_port()
        """Of its HTTP."""

        settings = {
            "Name": "benchmark",
            "StorageDirectory": str(folder / "files"),
            "IndexDirectory": str(folder / "index"),
            # Durable files: each is synced before it is answered (the default, said here because it is the promise).
            "SyncStorageArea": True,
            "StorageCompression": False,
            "HttpPort": self.port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": bool(dicom_port),
            "DicomPort": dicom_port or 4242,
            "DicomAlwaysAllowStore": True,
            "DicomCheckCalledAet": False,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "HttpThreadsCount": 50,
            "Plugins": [str(_PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        self._settings = folder / "orthanc.json"
        self._settings.write_text(json.dumps(settings, indent=2), encoding="utf-8")
        self._start()

    def _start(self) -> None:
        with (self._folder / "log.txt").open("ab") as log:
            self._child = subprocess.Popen(
                ["Orthanc", str(self._settings)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.process = ServerProcess(self._child.pid)
        patience = time.monotonic() + 30
        while time.monotonic() < patience:
            try:
                self._get(self._connection(), "/system", {})
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"Orthanc did not start; see {self._folder / 'log.txt'}")

    def store(self, files: Sequence[bytes | Path], clients: int) -> None:
        """POST /instances, one connection a client."""

        def one(share: Sequence[bytes | Path]) -> None:
            connection = self._connection()
            for content in share:
                size = len(content) if isinstance(content, bytes) else content.stat().st_size
                headers = {"Content-Type": "application/dicom", "Content-Length": str(size)}
                with nullcontext(content) if isinstance(content, bytes) else content.open("rb") as sent:
                    connection.request("POST", "/instances", sent, headers)
                    answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200 or b'"Success"' not in body:
                    raise RuntimeError(f"Orthanc did not store: {answer.status}")
            connection.close()

        self._together([partial(one, files[first::clients]) for first in range(clients)])

    def frames(self, series: Series, clients: int) -> int:
        """WADO-RS, a request a frame."""
        header = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}

        def one(uids: Sequence[str]) -> int:
            connection = self._connection()
            size = sum(
                len(self._get(connection, f"/dicom-web/{series.name}/instances/{uid}/frames/1", header)) for uid in uids
            )
            connection.close()
            return size

        uids = series.sop_instance_uids
        return sum(self._together([partial(one, uids[first::clients]) for first in range(clients)]))

    def metadata(self, series: Series) -> int:
        """/metadata of the series as JSON."""
        header = {"Accept": "application/dicom+json"}
        return len(self._get(self._connection(), f"/dicom-web/{series.name}/metadata", header))

    def restart(self) -> None:
        """A new process on the same folder."""
        self.close()
        self._start()

    def close(self) -> None:
        """End it as its users do."""
        self._child.terminate()
        self._child.wait(60)

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    @staticmethod
    def _get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> bytes:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"Orthanc answered {answer.status} to {path.split('?')[0]}")
        return body

    @staticmethod
    def _together(parts: Sequence[Callable[[], T]]) -> list[T]:
        with ThreadPoolExecutor(len(parts)) as executor:
            return list(executor.map(lambda part: part(), parts))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
