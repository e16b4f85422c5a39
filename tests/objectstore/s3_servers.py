"""Real S3 servers for tests: SeaweedFS and MinIO, on free ports of the loopback, killed without ado."""

from __future__ import annotations

import base64
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minio import Minio

from imaging.objectstore.s3_access import S3Access
from imaging.objectstore.s3_bucket import BucketOwner
from tests.house_certificates import ServerCertificate
from tests.tool_folder import tool_folder

ACCESS_KEY, SECRET_KEY = "test-access-key", "test-secret-key-0123"
OWNER = BucketOwner("the-word-of-a-test", has_objects=False)
_READY_SECONDS = 60


@dataclass
class S3Server:
    """A running server. `kill` and `start` serve the same data again on the same port."""

    command: list[str]
    environment: dict[str, str]
    port: int
    log: Path
    authority: Path | None = None
    """Whom to trust where it speaks https."""

    process: subprocess.Popen[bytes] | None = None

    def access(self, bucket: str, *, host: str = "127.0.0.1", **values: object) -> S3Access:
        """The access to a bucket with the right keys."""
        given = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "secure": self.authority is not None}
        given = given | {"ca_file": self.authority} | values
        return S3Access(f"{host}:{self.port}", bucket, **given)  # type: ignore[arg-type]  # a dict of fields

    def client(self) -> Minio:
        """A plain client."""
        return self.access("any").client(4)

    def start(self) -> bool:
        """Start, and wait until it answers; False if it ended at once, as with a port that was taken meanwhile."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env={**os.environ, **self.environment}, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + _READY_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                return False
            try:
                client = self.client()
                client.list_buckets()
                probe = f"ready-{self.port}-{random.randrange(1 << 30)}"
                client.make_bucket(probe)  # answers before it can write
                client.remove_bucket(probe)
                return True
            except Exception:  # noqa: BLE001 - not ready yet, whatever it says
                time.sleep(0.2)
        raise AssertionError(f"the S3 server is not ready after {_READY_SECONDS} s: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, to the server alone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


def program(name: str) -> str | None:
    """A program beside this Python, in the folder of tools, or on the path."""
    for folder in (Path(sys.executable).parent, tool_folder()):
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name)


@contextmanager
def seaweedfs(folder: Path, certificate: ServerCertificate | None = None) -> Iterator[S3Server]:
    """SeaweedFS, all of it in one process. Each of its ports takes the one 10,000 above, too."""
    weed = program("weed")
    assert weed is not None

    def make() -> S3Server:
        s3, master, volume, filer, metrics, https = _free_ports(6)
        command = [
            *(weed, f"-logdir={folder}/log", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}/data"),
            *(f"-s3.port={s3}", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"),
            *(f"-s3.localSocket={folder}/s3.sock", f"-filer.localSocket={folder}/f.sock"),
            *("-admin.ui=false", "-webdav=false", "-master.telemetry=false"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-metricsPort={metrics}", "-metricsIp=127.0.0.1"),
        ]
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "WEED_S3_SSE_KEY": "test"}
        if certificate is None:
            return S3Server(command, keys, s3, folder / "server.log")
        command += [f"-s3.port.https={https}", f"-s3.cert.file={certificate.chain}", f"-s3.key.file={certificate.key}"]
        return S3Server(command, keys, https, folder / "server.log", certificate.authority)

    for sub in ("log", "data"):
        (folder / sub).mkdir(parents=True)
    yield from _running(make)


@contextmanager
def minio(folder: Path, certificate: ServerCertificate | None = None) -> Iterator[S3Server]:
    """MinIO on one folder, with a key of its own for encryption."""
    server = program("minio")
    assert server is not None

    def make() -> S3Server:
        (port,) = _free_ports(1)
        command = [server, "server", str(folder / "data"), "--address", f"127.0.0.1:{port}"]
        keys = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_UPDATE": "off"}
        keys["MINIO_KMS_SECRET_KEY"] = f"test:{base64.b64encode(bytes(range(32))).decode()}"
        if certificate is None:
            return S3Server(command, keys, port, folder / "server.log")
        return S3Server([*command, "--certs-dir", str(certs)], keys, port, folder / "server.log", certificate.authority)

    certs = folder / "certs"
    for sub in ("data", "certs"):
        (folder / sub).mkdir(parents=True)
    if certificate is not None:
        shutil.copy(certificate.chain, certs / "public.crt")
        shutil.copy(certificate.key, certs / "private.key")
    yield from _running(make)


SERVERS = {"seaweedfs": ("weed", seaweedfs), "minio": ("minio", minio)}
"""By name: the program that must be there, and how to run it."""


def _running(make: object) -> Iterator[S3Server]:
    assert callable(make)
    for _ in range(5):
        server: S3Server = make()
        try:
            if server.start():
                yield server
                return
        finally:
            server.kill()
    raise AssertionError(f"the S3 server ends at once: {server.log.read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        if port not in found and all(_is_free(number) for number in (port, port + 10_000)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
