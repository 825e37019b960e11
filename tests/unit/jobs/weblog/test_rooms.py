"""The rooms of the job `logs`: who imports whom, what travels, what the design names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from queue_manager.job.loading import job_files
from tests.unit.jobs.crawl.test_rooms import imported

REPO = Path(__file__).resolve().parents[4]
WEBLOG = REPO / "jobs" / "weblog"
BELOW = {
    "read": set[str](),
    "parse": {"asked"},
    "count": {"asked", "parse"},
    "show": {"count"},
}


def test_every_room_has_a_rule() -> None:
    assert {path.parent.name for path in WEBLOG.glob("*/__init__.py")} == set(BELOW)


@pytest.mark.parametrize("room", BELOW)
def test_rooms_import_only_what_is_below_them(room: str) -> None:
    for path in (WEBLOG / room).glob("*.py"):
        assert imported(path) <= BELOW[room], path


def test_all_code_belongs_to_the_version_of_the_job_and_travels_with_it() -> None:
    code = {path.relative_to(REPO / "jobs").as_posix() for path in WEBLOG.rglob("*.py")}
    assert set(job_files("logs", REPO / "jobs")) == code | {"logs.py"}


def test_a_runner_loads_nothing_that_only_slots_need() -> None:
    code = "import sys, jobs.logs; print(*sys.modules)"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=REPO, check=True, capture_output=True, text=True, timeout=60)
    assert not {"pyarrow", "numpy", "zstandard", "jinja2"} & set(done.stdout.split())


@pytest.mark.parametrize("room", ["", *(f"{room}/" for room in BELOW)])
def test_the_design_names_every_module(room: str) -> None:
    text = (REPO / "docs" / "design.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `jobs/weblog/{room}`, .*$", text, re.MULTILINE)
    told = set(re.findall(r"`(\w+)`", row))
    there = {path.stem for path in (WEBLOG / room).glob("*.py")} - {"__init__"}
    assert told == there
