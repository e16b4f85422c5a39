"""The program behind the one port: where it is, and how it is started."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import yaml

from imaging.errors import StorageFull
from imaging.front.entry import certificate_of_front, entry
from imaging.front.routes import routes
from imaging.settings import Settings


def traefik_program() -> str | None:
    """The path of Traefik: beside this Python, where the extra `[front]` puts it, or on the PATH; None without."""
    beside = os.fspath(Path(sys.executable).parent)
    return shutil.which("traefik", path=os.pathsep.join((beside, os.environ.get("PATH", os.defpath))))


def write_configuration(settings: Settings, folder: Path, env: Mapping[str, str]) -> Path:
    """Write what Traefik is told into `traefik.yaml` and `routes.yaml`; the path of the first.

    Raises
    ------
    StorageFull
        If the folder takes no files.
    """
    entry_file, routes_file = folder / "traefik.yaml", folder / "routes.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        routes_file.write_text(yaml.safe_dump(routes(settings), sort_keys=False))
        entry_file.write_text(yaml.safe_dump(entry(settings, routes_file, env), sort_keys=False))
    except OSError as error:
        raise StorageFull(
            f"The configuration of the one port cannot be written: {error.strerror}",
            where=str(folder),
            hint="Free disk space, or choose another folder with --data DIR.",
        ) from None
    return entry_file


def front_command(program: str, entry_file: Path) -> list[str]:
    """The command of a child process that ends with this one."""
    return [
        sys.executable, "-m", "imaging.supervisor.foreign_program", str(os.getpid()), program,
        f"--configFile={entry_file}",
    ]  # fmt: skip


async def front_serves(settings: Settings) -> None:
    """Wait until the gateway answers through the one port."""
    host, _, port = settings.front.address.rpartition(":")
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    scheme = "http" if certificate_of_front(settings) is None else "https"
    url = f"{scheme}://{here}:{port}/healthz"
    # It asks our own process on this machine whether it listens; whom clients trust is not the question.
    unproven = ssl.create_default_context()
    unproven.check_hostname, unproven.verify_mode = False, ssl.CERT_NONE

    async with httpx.AsyncClient(verify=unproven, timeout=2, trust_env=False) as client:
        while True:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
