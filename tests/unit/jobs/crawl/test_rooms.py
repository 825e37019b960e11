"""The crawler's rooms: who imports whom, what travels to a worker, what the design names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from queue_manager.job.loading import job_files

REPO = Path(__file__).resolve().parents[4]
JOBS = REPO / "jobs"
CRAWL = JOBS / "crawl"
BELOW = {
    "fetch": {"address"},
    "look": {"address", "fetch"},
    "visit": {
        "address",
        "beside",
        "fetch",
        "following",
        "handed",
        "keep",
        "look",
        "rules",
        "site",
    },
    "keep": {"address", "site", "look"},
}
"""What the modules of a room may import from `jobs/crawl`, beside their own room."""


def imported(path: Path) -> set[str]:
    """The rooms and top modules of `jobs/crawl` that a file of a room imports."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 2]
    return {name.split(".")[0] for node in froms for name in [node.module or node.names[0].name]}


def test_every_room_has_a_rule() -> None:
    assert {path.parent.name for path in CRAWL.glob("*/__init__.py")} == set(BELOW)


@pytest.mark.parametrize("room", BELOW)
def test_rooms_import_only_what_is_below_them(room: str) -> None:
    for path in (CRAWL / room).glob("*.py"):
        assert imported(path) <= BELOW[room], path


def test_all_code_of_the_crawler_belongs_to_the_version_of_the_job_and_travels_with_it() -> None:
    code = {path.relative_to(JOBS).as_posix() for path in CRAWL.rglob("*.py")}
    assert set(job_files("images", JOBS)) == code | {"images.py"}


@pytest.mark.parametrize("room", ["", *(f"{room}/" for room in BELOW)])
def test_the_design_names_every_module(room: str) -> None:
    text = (REPO / "docs" / "design.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `jobs/crawl/{room}`, .*$", text, re.MULTILINE)
    told = set(re.findall(r"`(\w+)`", row))
    there = {path.stem for path in (CRAWL / room).glob("*.py")} - {"__init__"}
    assert told == there
