"""`make demo-mail`: a campaign through Postfix in a container, read from what Postfix has kept."""

from __future__ import annotations

import csv
import os
import re
import subprocess
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from .conftest import CHECKOUT

LIST = CHECKOUT / "deploy" / "demo" / "mail" / "list.csv"
PROJECT = f"quartermaster-demo-mail-{os.getpid()}"


@pytest.fixture(scope="module")
def demo(clone: Path, docker_setup: list[str]) -> Path:
    """The folder of the demo's letters and its report. docker_setup chooses the base image."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "--no-print-directory", "demo-mail"],
        cwd=clone,
        env={**kept, "DEMO_PROJECT": PROJECT},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"^Look at (/.*)/spring/index\.html$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return Path(found[1])


def test_postfix_has_each_letter_once_and_each_parses_strictly(demo: Path) -> None:
    strict = policy.default.clone(raise_on_defect=True)
    letters = [
        message_from_bytes(path.read_bytes(), policy=strict)
        for path in (demo / "received" / "new").iterdir()
    ]
    with LIST.open(encoding="utf-8") as file:
        rows = {row["email"]: row for row in csv.DictReader(file)}
    reached = sorted(to for to in rows if to.startswith("reader"))
    assert sorted(letter["delivered-to"] for letter in letters) == reached
    assert len({letter["message-id"] for letter in letters}) == len(reached)
    for letter in letters:
        row = rows[letter["delivered-to"]]
        assert letter["subject"] == f"Spring in {row['city']}, {row['name']}"
        assert row["name"] in letter.get_body(("plain",)).get_content()


def test_the_report_tells_of_each_row(demo: Path) -> None:
    with (demo / "spring" / "report.csv").open(encoding="utf-8") as file:
        states = [row["state"] for row in csv.DictReader(file)]
    counts = {state: states.count(state) for state in set(states)}
    assert counts == {"sent": 197, "refused": 3, "wrong": 1}
