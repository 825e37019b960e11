"""Jobs that name packages: with real masters and workers, and wheels in a folder for an index."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.processes import Master, eventually
from tests.wheels import block, make_wheel, offline

JOB = """
import qmlib

def tasks(count: int = 6):
    yield from (f"{qmlib.__version__}/{n}" for n in range(count))

def work(given):
    import time
    time.sleep(0.05)
    return given, qmlib.__version__

def finish(results):
    print("finished", qmlib.__version__, len(list(results)))
"""


@pytest.fixture
def packed_master(start_master: Callable[..., Master], tmp_path: Path) -> Master:
    """A master for whose processes uv finds two versions of a library, and has no network."""
    wheels = tmp_path / "wheels"
    for version in ("1.0", "2.0"):
        make_wheel(wheels, "qmlib", version)
    return start_master(QUEUE_ENVIRONMENTS=str(tmp_path / "environments"), **offline(wheels))


def test_two_jobs_have_two_versions_of_a_library_at_once(packed_master: Master) -> None:
    """In `tasks()` and `finish()`, too, which run on the master's side."""
    master = packed_master
    for name, version in (("old", "1.0"), ("new", "2.0")):
        (master.jobs / f"{name}.py").write_text(block(f"qmlib=={version}") + JOB)
    master.worker()
    runs = {version: master.submit(name) for name, version in (("old", "1.0"), ("new", "2.0"))}
    for version, run in runs.items():
        eventually(lambda run=run: master.run_line(run)["state"] == "done")
        expected = [[f"{version}/{n}", version] for n in range(6)]
        found = [list(task["result"]["$tuple"]) for task in master.results(run)]
        assert sorted(found) == expected
        master.process.says(f"finished {version} 6")
    made = list((master.folder / "environments").glob("*/quartermaster-made"))
    assert len(made) == 2, "master and worker share them"


def test_a_block_that_nothing_can_be_made_of_is_one_line_to_whoever_submits(
    packed_master: Master,
) -> None:
    master = packed_master
    wrong = {
        "absent": (block("qmlib==3.0"), "no version of qmlib==3.0"),
        "future": (block("qmlib", python=">=4"), "it needs Python >=4 (requires-python)"),
        "garbled": ("# /// script\n# dependencies = [\n# ///\n", "is no TOML"),
        "spelled": (block("qm lib"), "dependency 'qm lib': "),
    }
    for name, (lines, why) in wrong.items():
        (master.jobs / f"{name}.py").write_text(lines + JOB)
        refusal = master.command("submit", name).refusal
        assert refusal.startswith(f"qm: jobs/{name}.py: ")
        assert why in refusal
    assert master.run_line(0), "the master serves"


def test_what_a_worker_can_not_make_is_one_dead_letter_and_the_others_wait(
    packed_master: Master, tmp_path: Path
) -> None:
    master = packed_master
    (master.jobs / "old.py").write_text(block("qmlib==1.0") + JOB)
    (tmp_path / "nothing").mkdir()
    elsewhere = tmp_path / "elsewhere"
    master.worker(UV_FIND_LINKS=str(tmp_path / "nothing"), QUEUE_ENVIRONMENTS=str(elsewhere))
    run = master.submit("old", "count=5")
    dead = master.ended_tasks(run, 1)
    assert [task["state"] for task in dead] == ["dead"]
    why = "can't run old: its environment can't be made: Because there is no version of qmlib==1.0"
    eventually(lambda: why in master.status(), what=why)
    eventually(lambda: master.run_line(run)["waiting"] == "4")  # a lease may be on its way back
    assert master.run_line(run)["dead"] == "1"
    shown = master.command("failed", str(run)).out
    assert "No solution found when resolving dependencies" in shown
    assert len(list(elsewhere.glob("*.failed"))) == 1
    master.worker()  # one that finds it
    eventually(lambda: master.run_line(run)["done"] == "4")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            {"UV_NO_INDEX": "", "UV_FIND_LINKS": "", "UV_HTTP_RETRIES": "0"}
            | {"UV_DEFAULT_INDEX": "http://user:secret@127.0.0.1:1/simple?token=secret"},
            "can't get package qmlib: ",
        ),
        ({"QUEUE_ENVIRONMENTS": "off"}, "QUEUE_ENVIRONMENTS=off"),
    ],
)
def test_tasks_go_back_uncharged_where_packages_can_not_be_had(
    packed_master: Master, tmp_path: Path, settings: dict[str, str], why: str
) -> None:
    master = packed_master
    (master.jobs / "old.py").write_text(block("qmlib==1.0") + JOB)
    master.worker(**{"QUEUE_ENVIRONMENTS": str(tmp_path / "elsewhere"), **settings})
    run = master.submit("old", "count=5")
    eventually(lambda: why in master.status(), what=why)
    eventually(lambda: master.run_line(run)["waiting"] == "5")
    assert "secret" not in master.process.log + master.status()
    master.worker()
    eventually(lambda: master.run_line(run)["state"] == "done")
    assert {task["attempts"] for task in master.results(run)} == {1}


def test_a_function_of_a_file_with_a_block_gets_its_packages(packed_master: Master) -> None:
    master = packed_master
    master.worker()
    (master.folder / "mine.py").write_text(
        block("qmlib==2.0", "quartermaster-queue")
        + "def version(n):\n    import qmlib\n    return n, qmlib.__version__\n"
    )
    program = "import mine\nfrom queue_manager import connect\n"
    program += "with connect(timeout=60) as qm: print(list(qm.map(mine.version, range(3))))"
    words = [sys.executable, "-c", program]
    environment = master.environment()
    said = subprocess.run(
        words, cwd=master.folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert said.stdout == "[(0, '2.0'), (1, '2.0'), (2, '2.0')]\n", said.stderr
