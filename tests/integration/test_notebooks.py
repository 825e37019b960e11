"""The client in notebooks, whose loop is running already, and in IPython; and the examples."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.integration.processes import KEY, REPO, Master

EXAMPLE = REPO / "examples" / "notebook.ipynb"
LIMIT_S = 100


@pytest.fixture
def at_master(master: Master, monkeypatch: pytest.MonkeyPatch) -> Master:
    """A master with a worker, which kernels of this process find by their environment."""
    master.worker()
    for name, text in {**master.settings, "QUEUE_AUTHKEY": KEY}.items():
        monkeypatch.setenv(name, text)
    return master


Execute = Callable[..., "list[dict[str, Any]]"]


@pytest.fixture
def execute(tmp_path: Path) -> Execute:
    """Runs cells in a kernel of their own; returns the outputs of all of them, in order."""

    def run(*cells: str) -> list[dict[str, Any]]:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        return outputs_of(notebook, tmp_path)

    return run


def outputs_of(notebook: Any, folder: Path) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries
        resources = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, timeout=LIMIT_S, resources=resources).execute()
    return [dict(output) for cell in notebook.cells for output in cell.get("outputs", [])]


def run_python(master: Master, *words: str) -> str:
    """What a program prints that finds the master by its environment."""
    ended = subprocess.run(
        [sys.executable, *words],
        env=master.environment(HOME=str(master.folder), IPYTHONDIR=str(master.folder / "ipython")),
        cwd=master.folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def values(outputs: list[dict[str, Any]]) -> list[str]:
    """What the cells' last expressions gave, and what they printed."""
    texts = [
        o["data"]["text/plain"] if "data" in o else o["text"]
        for o in outputs
        if "data" in o or o.get("name") == "stdout"
    ]
    return [text.strip() for text in texts]


def test_the_example_runs_and_is_kept_without_outputs(at_master: Master, tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLE, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    outputs = outputs_of(notebook, tmp_path)
    counts, errors, started, night = values(outputs)
    assert (counts, started, night) == ("5133", "True", "2262")
    assert errors.startswith("[2, ZeroDivisionError(")
    assert errors.endswith(", 5]")
    bar = "".join(o["text"] for o in outputs if o.get("name") == "stderr")
    assert "50" in bar, f"no bar: {outputs}"
    assert all(run.run == 0 for run in at_master.runs()), "it has forgotten its run"


def test_functions_of_cells_go_by_value_and_the_loop_runs_already(
    execute: Execute, at_master: Master
) -> None:
    outputs = execute(
        "import asyncio\nasyncio.get_running_loop().is_running()",
        "from queue_manager import connect, connect_async\nqm = connect()",
        "offset = 3\ndef cube(n):\n    return n ** 3 + offset",
        "list(qm.map(cube, range(4)))",
        "offset = 4\nlist(qm.map(lambda n: cube(n), range(4)))",
        "aqm = await connect_async()\n[y async for y in aqm.map(cube, range(3))]",
        "await aqm.close()\nqm.close()",
    )
    assert values(outputs) == ["True", "[3, 4, 11, 30]", "[4, 5, 12, 31]", "[4, 5, 12]"]


def test_an_exception_of_a_cells_function_is_raised_in_the_cell(
    execute: Execute, at_master: Master
) -> None:
    with pytest.raises(CellExecutionError, match="ZeroDivisionError") as raised:
        execute(
            "from queue_manager import connect\nqm = connect()",
            "def inverse(n):\n    return 1 / n",
            "list(qm.map(inverse, [1, 0]))",
        )
    assert "in inverse" in str(raised.value), "the worker's traceback is there"


def test_another_notebook_reads_what_a_killed_kernel_has_started(
    execute: Execute, at_master: Master
) -> None:
    with pytest.raises(Exception, match="Kernel died"):
        execute(
            "from queue_manager import connect\nqm = connect()",
            "run = qm.start(lambda n: n * n, range(3_000), key='night')",
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        )
    at_master.process.kill()
    at_master.serve()
    outputs = execute(
        "from queue_manager import connect\nresults = list(connect().run('night').results())",
        "results == [n * n for n in range(3_000)]",
    )
    assert values(outputs) == ["True"]


def test_ipython_maps_what_is_typed(at_master: Master, tmp_path: Path) -> None:
    typed = (
        "from queue_manager import connect\n"
        "def double(n):\n    return 2 * n\n"
        "with connect() as qm:\n    print(list(qm.map(double, range(4))))\n"
    )
    out = run_python(at_master, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", typed)
    assert "[0, 2, 4, 6]" in out


def test_the_script_runs(at_master: Master) -> None:
    lines = run_python(at_master, str(REPO / "examples" / "script.py")).splitlines()
    assert lines[0] == "1229 primes from 0 to 9,999"
    assert len(lines) == 20
