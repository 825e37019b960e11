"""The rooms behind our jobs: who imports whom, what travels to a worker, what the design names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from queue_manager.job.loading import job_files

REPO = Path(__file__).resolve().parents[3]
JOBS = REPO / "jobs"
PACKAGES = {"images": "crawl", "logs": "weblog", "mail": "mailing"}
"""The package that is behind each job."""
SHARED = "output"
"""What the jobs have in common. It imports none of them."""

BELOW = {
    "crawl/fetch": {"address"},
    "crawl/look": {"address", "fetch"},
    "crawl/visit": {
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
    "crawl/keep": {"address", "site", "look"},
    "weblog/read": set[str](),
    "weblog/parse": {"asked"},
    "weblog/count": {"asked", "parse"},
    "weblog/show": {"count"},
    "mailing/letter": {"addresses", "campaign"},
    "mailing/keep": {"addresses", "recipients"},
    "mailing/send": {"addresses", "campaign", "letter", "keep"},
}
"""What the modules of a room may import from their package, beside their own room."""


def imported(path: Path) -> set[str]:
    """The rooms and top modules of its package that a file of a room imports."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 2]
    return {name.split(".")[0] for node in froms for name in [node.module or node.names[0].name]}


@pytest.mark.parametrize("package", PACKAGES.values())
def test_every_room_has_a_rule(package: str) -> None:
    there = {f"{package}/{path.parent.name}" for path in (JOBS / package).glob("*/__init__.py")}
    assert there == {room for room in BELOW if room.startswith(f"{package}/")}


@pytest.mark.parametrize("room", BELOW)
def test_rooms_import_only_what_is_below_them(room: str) -> None:
    for path in (JOBS / room).glob("*.py"):
        assert imported(path) <= BELOW[room], path


@pytest.mark.parametrize(("job", "package"), PACKAGES.items())
def test_all_code_belongs_to_the_version_of_the_job_and_travels_with_it(
    job: str, package: str
) -> None:
    code = {path.relative_to(JOBS).as_posix() for path in (JOBS / package).rglob("*.py")}
    files = set(job_files(job, JOBS))
    shared = {name for name in files if name.startswith(f"{SHARED}/")}
    assert files == code | shared | {f"{job}.py"}
    assert {f"{SHARED}/__init__.py", f"{SHARED}/folder.py", f"{SHARED}/pages.py"} <= shared


def test_what_the_jobs_share_imports_none_of_them() -> None:
    for path in (JOBS / SHARED).glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        assert all(node.level <= 1 and (node.module or "")[:5] != "jobs." for node in froms), path


@pytest.mark.parametrize("room", [*PACKAGES.values(), SHARED, *BELOW])
def test_the_design_names_every_module(room: str) -> None:
    text = (REPO / "docs" / "design.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `jobs/{room}/`, .*$", text, re.MULTILINE)
    told = set(re.findall(r"`(\w+)`", row))
    there = {path.stem for path in (JOBS / room).glob("*.py")} - {"__init__"}
    assert told == there
