"""`make demo-images`: the crawler on a site that is made here, without internet."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.docker.conftest import CHECKOUT, eventually

PROJECT = f"quartermaster-demo-{os.getpid()}"
SITE = CHECKOUT / "deploy" / "demo" / "site"
IS_THERE = (CHECKOUT / "jobs" / "images.py").exists() and (CHECKOUT / "deploy" / "web").exists()
PICTURES = {".gif", ".ico", ".jpg", ".png", ".svg", ".webp"}
# What looks like a picture and is not to be stored, and why.
LEFT_OUT = {
    "private/secret.png": "robots.txt disallows it",
    "lies/page.jpg": "a text, whatever the server says",
}

pytestmark = pytest.mark.skipif(not IS_THERE, reason="no job or no web server yet")


def _digests(files: list[Path]) -> dict[str, str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in files}


def _expected() -> dict[str, str]:
    files = [path for path in SITE.rglob("*") if path.suffix in PICTURES]
    return _digests([path for path in files if str(path.relative_to(SITE)) not in LEFT_OUT])


def demo(clone: Path) -> subprocess.CompletedProcess[str]:
    """`make demo-images`, in a project of these tests, beside a queue that is published."""
    settings = {"DEMO_PROJECT": PROJECT, "QUEUE_PUBLISH": "203.0.113.11:5000"}
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--no-print-directory", "demo-images"], cwd=clone, env=kept | settings,
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip


def left_over() -> str:
    """Containers, volumes and networks of the demo."""
    label = f"label=com.docker.compose.project={PROJECT}"
    return "".join(
        subprocess.run(
            ["docker", *words, "--quiet", "--filter", label],
            capture_output=True, text=True, check=True,
        ).stdout
        for words in (["ps", "--all"], ["volume", "ls"], ["network", "ls"])
    )  # fmt: skip


@pytest.fixture(scope="module")
def sheet(clone: Path, docker_setup: list[str]) -> Path:
    """The contact sheet of a demo, the second one: the first was killed."""
    words = ["make", "--no-print-directory", "demo-images"]
    settings = {**os.environ, "DEMO_PROJECT": PROJECT}
    with subprocess.Popen(
        words, cwd=clone, env=settings, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as first:  # fmt: skip
        try:
            eventually(left_over, 200)
        finally:
            os.killpg(first.pid, 9)
    done = demo(clone)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"^Look at (/.*\.html)$", done.stdout.splitlines()[-1])
    assert found, done.stdout
    return Path(found[1])


def test_every_picture_of_the_site_is_stored_and_nothing_else(sheet: Path) -> None:
    files = list(sheet.parent.glob("??/*"))  # beside `thumbs`
    found, expected = _digests(files), _expected()
    assert set(expected.values()) - {expected.get(digest) for digest in found} == set()
    assert found.keys() - expected.keys() == set()
    assert len(expected) >= 30


def test_the_index_has_a_row_for_each_address_and_the_twins_share_a_file(sheet: Path) -> None:
    rows = [json.loads(line) for line in sheet.with_name("index.jsonl").read_text().splitlines()]
    twins = [row for row in rows if "moon.png" in json.dumps(row)]
    assert len(twins) == 2
    assert len({row["file"] for row in twins}) == 1
    assert len(rows) == len(_expected()) + 1


def test_the_contact_sheet_shows_files_beside_it(sheet: Path) -> None:
    text = sheet.read_text("utf-8")
    named = re.findall(r'(?:src|href)="([0-9a-f]{2}/[^"]+)"', text)
    assert {name.partition("/")[2].partition(".")[0] for name in named} == {
        digest[2:] for digest in _expected()
    }
    assert [name for name in named if not (sheet.parent / name).is_file()] == []


def test_nothing_that_it_started_is_left(sheet: Path) -> None:
    assert left_over() == ""


def test_a_demo_that_fails_says_so_and_leaves_nothing(clone: Path, sheet: Path) -> None:
    job = clone / "jobs" / "images.py"
    before = job.read_text()
    job.write_text("def tasks(start, **_):\n    yield 1\n\n\ndef work(n):\n    raise OSError\n")
    try:
        done = demo(clone)
    finally:
        job.write_text(before)
    assert done.returncode != 0
    assert "demo: the run" in done.stderr
    assert not sheet.exists()
    assert left_over() == ""
