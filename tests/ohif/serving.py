"""OHIF as its makers build it, on a port of its own; fetched once from the npm registry."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn

from tests.tool_folder import tool_folder

VERSION: Final = "3.13.2"


def ohif_files() -> Path:
    """The folder of the built app; skips the test where it is not to be had."""
    folder = tool_folder() / f"ohif-{VERSION}"
    if not (folder / "package" / "dist" / "index.html").exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed (Debian: apt-get install npm), so OHIF is not fetched")
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", f"@ohif/app@{VERSION}", "--silent", "--pack-destination", str(folder)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            pytest.skip(f"the npm registry does not give OHIF: {done.stderr.strip()[-200:]}")
        (archive,) = folder.glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        archive.unlink()
    return folder / "package" / "dist"


def _configuration(dicom_web: str) -> bytes:
    """What a site writes into `app-config.js` to read from our DICOMweb."""
    source = {
        "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
        "sourceName": "imaging",
        "configuration": {
            "friendlyName": "imaging",
            "name": "imaging",
            "qidoRoot": dicom_web,
            "wadoRoot": dicom_web,
            "wadoUriRoot": dicom_web.replace("/dicom-web", "/wado"),
            "imageRendering": "wadors",
            "thumbnailRendering": "wadors",
            "enableStudyLazyLoad": True,
            "supportsFuzzyMatching": False,
            "supportsWildcard": True,
            "supportsReject": False,
            "dicomUploadEnabled": True,
            "omitQuotationForMultipartRequest": True,
            "bulkDataURI": {"enabled": True},
        },
    }
    told = {
        "routerBasename": "/",
        "extensions": [],
        "modes": [],
        "showStudyList": True,
        "investigationalUseDialog": {"option": "never"},
        "maxNumberOfWebWorkers": 2,
        "dataSources": [source],
        "defaultDataSourceName": "imaging",
    }
    return f"window.config = {json.dumps(told)};".encode()


@asynccontextmanager
async def served_ohif(port: int, dicom_web: str) -> AsyncIterator[str]:
    """OHIF that reads from `dicom_web`; its address."""
    files, configuration = ohif_files(), _configuration(dicom_web)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = files / scope["path"].lstrip("/")
        if not (path.is_file() and path.resolve().is_relative_to(files.resolve())):
            path = files / "index.html"  # routes of the app itself
        body = configuration if path.name == "app-config.js" else await asyncio.to_thread(path.read_bytes)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(app, port=port, lifespan="off", log_config=None, access_log=False, ws="none")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving
