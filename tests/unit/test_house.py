"""The house rules that no type checker holds: who imports whom, and which rooms the tour names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
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
TOP = {f"queue_manager.{name}" for name in ("addresses", "authkey", "codec", "errors", "names")} | {
    f"queue_manager.{name}" for name in ("masking", "ranges", "settings", "terminal", "trace")
}
RECORDS = {
    f"master.{name}"
    for name in (
        "changes",
        "failures",
        "history",
        "reads",
        "released",
        "scheduled",
        "task_lists",
        "tries",
    )
}
"""What broker and store tell each other, and what no clock says less than."""
ROOMS = {
    "queue_manager.job": {"queue_manager.wire", *TOP},
    "queue_manager.wire": TOP,
    "queue_manager.environments": {"queue_manager.job", "queue_manager.lifeline", *TOP},
    "queue_manager.plain": {"queue_manager.wire", *TOP},
    "queue_manager.server": {"queue_manager.wire", *TOP},
    "queue_manager.django": {
        "queue_manager.client",
        "queue_manager.job",
        "queue_manager.wire",
        *TOP,
    },
    "queue_manager.shell": {"queue_manager.job", *TOP},
    "queue_manager.client": {"queue_manager.wire", "queue_manager.job", *TOP},
    "master.tally": set[str](),
    "master.broker": {"master.tally", *RECORDS},
    "master.store": {*RECORDS},
    "master.backup": {"master.store", *RECORDS},
    "master.turn": {"master.broker", "master.tally", "master.store", *RECORDS},
    "master.schedules": {"master.turn", *RECORDS},
    "master.processes": {"master.broker", "master.runner", "master.turn", *RECORDS},
    "master.jobs": {"master.broker", "master.turn", *RECORDS, "master.processes"},
    "master.observe": {
        *("master.backup", "master.broker", "master.tally", "master.turn", "master.processes"),
        *RECORDS,
    },
    "master.standby": {"master.store", "master.processes"},
    "master.measure": {"master.broker", "master.turn", *RECORDS},
    "master.stock": {"master.broker", "master.turn", *RECORDS, "master.observe"},
    "master.server": {
        f"master.{room}"
        for room in [
            "backup",
            "broker",
            "tally",
            "store",
            "turn",
            "processes",
            "jobs",
            "measure",
            "observe",
            "stock",
            "standby",
        ]
    }
    | {"master.schedules"}
    | RECORDS,
    "master.runner": set[str](),
    "master.web": set[str](),
    "master.cli": {
        f"master.{room}"
        for room in [
            *("backup", "broker", "jobs", "observe", "processes"),
            *("server", "standby", "turn"),
        ]
    },
    "worker.ipc": set[str](),
    "worker.slot": {"worker.ipc"},
    "worker.processes": set[str](),
    "worker.jobs": set[str](),
    "worker.supervisor": {"worker.ipc", "worker.processes", "worker.jobs"},
}
"""What the modules of a room may import from the same package, beside their own room."""

CHILDREN = {
    "master.runner.main": {"master.runner"},
    "master.jobs.look": {"master.jobs"},
    "master.web.__main__": {"master.web"},
    "worker.slot.main": {"worker.slot", "worker.ipc"},
    "worker.processes.guardian": {"worker.processes"},
}
"""The programs of child processes, and the rooms that such a process may have in memory."""

_NO_LOOP = {"asyncio", "logging", "ssl"}
_RARE = {"difflib", "json", "multiprocessing", "shlex", "tempfile"}
LATE = {
    "worker.slot.main": _NO_LOOP | _RARE,
    "master.jobs.look": _NO_LOOP | _RARE,
    "master.runner.main": {"multiprocessing", "tempfile"},
    "worker.__main__": {"multiprocessing"},
}
"""Modules that take some milliseconds of a start, and can wait until they are needed."""


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")


def is_module(name: str) -> bool:
    path = REPO / Path(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imports(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, wherever in it, also for types alone."""
    yield from _imports(path, ast.walk(ast.parse(path.read_text("utf-8"))))


def imports_at_run_time(path: Path) -> set[str]:
    """The modules of the project that a file needs when it runs."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    found = set(_imports(path, ast.walk(tree)))
    return {name for name in found if name.split(".")[0] in PACKAGES and is_module(name)}


def _imports(path: Path, nodes: Iterator[ast.AST]) -> Iterator[str]:
    here = path.relative_to(REPO).with_suffix("").parts
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: -node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    """`master.broker` of `master.broker.run`; a module at the top of a package is its own room."""
    return ".".join(module.split(".")[:2])


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


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_is_below_them(room: str) -> None:
    package = room.split(".")[0]
    files = list((REPO / Path(*room.split("."))).rglob("*.py"))
    assert files
    wrong = {
        (str(path.relative_to(REPO)), name)
        for path in files
        for name in imports_at_run_time(path)
        if name.startswith(f"{package}.") and room_of(name) not in {room, *ROOMS[room]}
    }
    assert not wrong


def test_every_room_has_a_rule() -> None:
    there = {
        module_of(path.parent)
        for package in ("queue_manager", "master", "worker")
        for path in (REPO / package).glob("*/__init__.py")
    }
    assert there == set(ROOMS)


def test_no_modules_import_one_another_in_a_circle() -> None:
    files = {
        module_of(path): path for package in PACKAGES for path in (REPO / package).rglob("*.py")
    }
    graph = {module: imports_at_run_time(path) - {module} for module, path in files.items()}
    for module, path in files.items():
        if path.name == "__init__.py":  # a package is complete when its parts are
            continue
        graph[module] = {name for name in graph[module] if files[name].name != "__init__.py"}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {error.args[1]}")


def loaded_by(program: str) -> set[str]:
    """What a process has in memory that has imported this module."""
    code = f"import sys, {program}; print(*sys.modules)"
    words = [sys.executable, "-c", code]
    loaded = subprocess.run(words, cwd=REPO, check=True, capture_output=True, text=True, timeout=60)
    return set(loaded.stdout.split())


@pytest.mark.parametrize("program", CHILDREN)
def test_a_child_process_has_no_code_of_the_process_that_started_it(program: str) -> None:
    rooms = {room_of(name) for name in loaded_by(program) if "." in name}
    ours = {name for name in rooms if name.split(".")[0] in ("master", "worker")}
    assert ours <= CHILDREN[program]


@pytest.mark.parametrize("program", LATE)
def test_a_process_that_somebody_waits_for_loads_no_slow_module_that_it_can_do_without(
    program: str,
) -> None:
    assert loaded_by(program) & LATE[program] == set()


def test_nothing_imports_the_pages() -> None:
    """They are a process of their own: whatever becomes of it, the queue does not notice."""
    users = {
        module_of(path)
        for package in PACKAGES
        for path in (REPO / package).rglob("*.py")
        if any(name.startswith("master.web.") or name == "master.web" for name in imports(path))
    }
    assert users
    assert {room_of(name) for name in users} == {"master.web"}


def test_jobs_use_only_the_public_names_of_the_queue_manager() -> None:
    import queue_manager

    public = {f"queue_manager.{name}" for name in queue_manager.__all__} | {"queue_manager"}
    for room in ("django", "shell"):  # they come with the package; a job file names their parts
        whole = f"queue_manager.{room}.job"
        public |= {whole, *(f"{whole}.{name}" for name in ("OPTIONS", "setup", "tasks", "work"))}
    for path in (REPO / "jobs").rglob("*.py"):
        used = {name for name in imports(path) if name.split(".")[0] == "queue_manager"}
        assert used <= public, path


@pytest.mark.parametrize(
    "path", [*(REPO / "master/broker").rglob("*.py"), REPO / "master/changes.py"]
)
def test_the_broker_knows_no_sockets_sql_threads_or_clock(path: Path) -> None:
    forbidden = {"socket", "sqlite3", "threading", "time", "asyncio", "datetime", "os", "selectors"}
    assert not {name.split(".")[0] for name in imports(path)} & forbidden


def test_the_server_imports_no_code_of_the_users() -> None:
    """Only the runner and the look at a job, processes of their own, load jobs.

    The version of a job is that of its files, which are read and parsed, not run.
    """
    loaders = {
        module_of(path)
        for path in (REPO / "master").rglob("*.py")
        if any(
            name.startswith("queue_manager.job.loading.")
            and not name.endswith((".job_version", ".job_files", ".job_path", ".version_of"))
            for name in imports(path)
        )
    }
    assert loaders == {"master.runner.main", "master.jobs.look"}


@pytest.mark.parametrize("room", ["queue_manager", "master", "worker", *ROOMS])
def test_the_tour_of_the_house_names_every_module(room: str) -> None:
    """Each room has a paragraph that names its modules, those of its folders included."""
    text = (REPO / "docs" / "design.md").read_text("utf-8").partition("## A tour of the house")[2]
    folder = room.replace(".", "/")
    _, title, rest = text.partition(f"**{folder}/**")
    assert title, f"the tour has no room {folder}/"
    told = set(re.findall(r"`(\w+)`", rest.partition("\n**")[0]))
    files = (REPO / folder).rglob("*.py") if "." in room else (REPO / folder).glob("*.py")
    there = {path.stem for path in files if path.stem[:2] != "__"}
    assert there - told == set()
