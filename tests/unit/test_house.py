"""The house rules that no type checker holds: who imports whom."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGES = ("queue_manager", "master", "worker", "jobs")
ALLOWED = {
    "queue_manager": {"queue_manager"},
    "master": {"master", "queue_manager"},
    "worker": {"worker", "queue_manager"},
    "jobs": {"jobs", "queue_manager"},
}


def imports(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, wherever in it."""
    here = path.relative_to(REPO).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: -node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package: str) -> None:
    files = list((REPO / package).rglob("*.py"))
    assert files
    wrong = {
        (str(path.relative_to(REPO)), name)
        for path in files
        for name in imports(path)
        if (top := name.split(".")[0]) in PACKAGES and top not in ALLOWED[package]
    }
    assert not wrong


def test_jobs_use_only_the_public_names_of_the_queue_manager() -> None:
    import queue_manager

    public = {f"queue_manager.{name}" for name in queue_manager.__all__} | {"queue_manager"}
    for path in (REPO / "jobs").rglob("*.py"):
        used = {name for name in imports(path) if name.split(".")[0] == "queue_manager"}
        assert used <= public, path


@pytest.mark.parametrize(
    "path", [*(REPO / "master/broker").glob("*.py"), REPO / "master/changes.py"]
)
def test_the_broker_knows_no_sockets_sql_threads_or_clock(path: Path) -> None:
    """And nothing that it imports of `master` does."""
    forbidden = {"socket", "sqlite3", "threading", "time", "asyncio", "datetime", "os", "selectors"}
    found = set(imports(path))
    assert not {name.split(".")[0] for name in found} & forbidden
    ours = {name.split(".")[1] for name in found if name.startswith("master.")}
    assert ours <= {"broker", "changes"}


def test_the_server_imports_no_code_of_the_users() -> None:
    """Only the runner and the look at a job, processes of their own, load jobs.

    The version of a job is that of its files, which are read and parsed, not run.
    """
    loaders = {
        path.name
        for path in (REPO / "master").rglob("*.py")
        if any(
            name.startswith("queue_manager.loading.")
            and not name.endswith((".job_version", ".job_files", ".version_of"))
            for name in imports(path)
        )
    }
    assert loaders == {"runner.py", "check.py"}


@pytest.mark.parametrize("package", ["queue_manager", "master", "worker"])
def test_the_tour_of_the_house_names_every_module(package: str) -> None:
    text = (REPO / "docs" / "design.md").read_text("utf-8").partition("## A tour of the house")[2]
    room = text.partition(f"**{package}/**")[2].partition("\n**")[0]
    told = set(re.findall(r"`(\w+)`", room))
    there = {path.stem for path in (REPO / package).glob("*.py") if path.stem[:2] != "__"}
    assert there
    assert there - told == set()
