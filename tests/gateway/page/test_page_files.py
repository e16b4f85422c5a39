"""The files of the web page: nothing inline, nothing from elsewhere, nothing that reads text as markup."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

import gateway_svc.page

STATIC = Path(gateway_svc.page.__file__).parent / "static"
FILES = sorted(STATIC.iterdir())

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_policy_lets_only_our_own_files_run(page: httpx.AsyncClient) -> None:
    answer = await page.get("/")
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_file_is_served_with_its_type_and_an_etag(page: httpx.AsyncClient) -> None:
    types = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for file in FILES:
        path = "/" if file.name == "index.html" else f"/assets/{file.name}"
        answer = await page.get(path)
        assert answer.content == file.read_bytes(), file.name
        assert answer.headers["content-type"].startswith(types[file.suffix])
        again = await page.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/assets/", "/assets/../files.py", "/assets/%2e%2e/files.py", "/assets/x.js", "/nothing", "/assets"]
)
async def test_nothing_else_is_served(page: httpx.AsyncClient, path: str) -> None:
    assert (await page.get(path)).status_code == 404


async def test_page_cannot_be_posted_to(page: httpx.AsyncClient) -> None:
    answer = await page.post("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_nothing_is_inline_or_loaded_from_elsewhere() -> None:
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", html)
    for file in FILES:
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z0-9-]+\.[a-z]|@import", text), file.name


async def test_no_script_reads_text_as_markup() -> None:
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|localStorage"
    )
    for file in STATIC.glob("*.js"):
        assert not re.search(forbidden, file.read_text()), file.name


async def test_every_module_that_is_imported_is_there() -> None:
    for file in STATIC.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', file.read_text()):
            assert (STATIC / name).is_file(), f"{file.name} imports {name}"
