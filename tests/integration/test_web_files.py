"""Files of runs, as a browser gets them: whole, in part, and with a policy that runs nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.processes import Master, eventually
from tests.integration.web import Answer, Web

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder of files that jobs have written."""
    folder = tmp_path / "shared"
    (folder / "pictures" / "a b").mkdir(parents=True)
    (folder / "pictures" / "index.html").write_text("<title>pictures</title>")
    (folder / "pictures" / "a b" / "x.svg").write_text(SVG)
    (folder / "pictures" / "words.unknown").write_text("<b>words</b>")
    (folder / "pictures" / "all.tar").write_bytes(bytes(range(256)) * 1000)
    (folder / "pictures" / "secret").symlink_to("/etc/passwd")
    return folder


@pytest.fixture
def web(start_master: Callable[..., Master], shared: Path) -> Web:
    """A master whose runs may show these files."""
    return Web(start_master(MASTER_HTTP_PORT="0", HTTP_FILES=str(shared)))


def got(web: Web, path: str, **headers: str) -> Answer:
    return web.get(path, token="", Cookie=web.cookie(web.read), **headers)


def test_a_file_is_given_with_a_policy_that_runs_nothing(web: Web) -> None:
    for path, kind in (
        ("pictures/index.html", "text/html; charset=utf-8"),
        ("pictures/a%20b/x.svg", "image/svg+xml"),
        ("pictures/words.unknown", "text/plain; charset=utf-8"),
    ):
        answer = got(web, f"/files/{path}")
        assert (answer.code, answer.headers["Content-Type"]) == (200, kind)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox ")
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
    assert got(web, "/files/pictures/a%20b/x.svg").text == SVG


def test_a_part_of_a_file_is_given(web: Web) -> None:
    part = got(web, "/files/pictures/words.unknown", Range="bytes=3-7")
    assert (part.code, part.text) == (206, "words")
    assert got(web, "/files/pictures/words.unknown", Range="bytes=99-").code == 416
    whole = web.ask("HEAD", "/files/pictures/all.tar", Cookie=web.cookie(web.read))
    assert whole.headers["Content-Length"] == "256000"
    assert whole.headers["Content-Disposition"] == 'attachment; filename="all.tar"'


def test_nothing_leads_out_of_the_folder_and_nobody_gets_in_without_a_token(web: Web) -> None:
    for path in (
        "pictures/secret", "../secret", "..%2f..%2fetc/passwd", "%2e%2e/x", "pictures/%00",
        "pictures/nothing", "/etc/passwd", "pictures/%ff",
    ):  # fmt: skip
        answer = got(web, f"/files/{path}")
        assert answer.code == 404, path
        assert "there is no such file" in answer.text
    assert web.get("/files/pictures/index.html", token="").code == 401
    assert web.get("/folders/pictures", token="").code == 401


def test_a_folder_has_a_page_with_its_files(web: Web) -> None:
    answer = got(web, "/files/pictures/")
    assert (answer.code, answer.headers["Location"]) == (303, "/folders/pictures")
    page = web.page("/folders/pictures")
    assert 'href="/folders/pictures/a%20b"' in page
    assert 'href="/files/pictures/words.unknown"' in page
    assert "secret" not in page
    shown = web.json("/api/folders/pictures")
    assert [one["name"] for one in shown["entries"]] == [
        "all.tar", "index.html", "words.unknown", "a b",
    ]  # fmt: skip
    assert got(web, "/folders/nothing").code == 404
    assert "pictures" in web.page("/folders/")


def test_a_run_leads_to_what_it_has_written(web: Web, shared: Path) -> None:
    run = web.master.submit("given", f"out={shared}/pictures", "count=1")
    page = web.page(f"/runs/{run}")
    assert 'href="/files/pictures/index.html"' in page
    assert web.json(f"/api/runs/{run}")["written"]["folder"] == "pictures"
    other = web.master.submit("square", "count=1")
    assert web.json(f"/api/runs/{other}")["written"] is None


def test_no_file_stays_open_behind_an_answer(web: Web, shared: Path) -> None:
    (pid,) = web.pids()
    cookie = web.cookie(web.read)
    for _ in range(10):
        for path, code in (("words.unknown", 200), ("", 303), ("nothing", 404)):
            assert web.ask("GET", f"/files/pictures/{path}", Cookie=cookie).code == code
        assert web.ask("HEAD", "/files/pictures/all.tar", Cookie=cookie).code == 200
    eventually(lambda: not open_below(pid, shared), what="files that are closed")


def open_below(pid: int, folder: Path) -> list[str]:
    """What a process has open there."""
    links = []
    for one in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            links.append(os.readlink(f"/proc/{pid}/fd/{one}"))
    return [link for link in links if link.startswith(str(folder))]
