"""Programs with functions use the compose file's master, from its network and from the host."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import clean_environment

from .conftest import CHECKOUT, Stack, eventually

SHAPES = """
from sizes import SIDE

def area(n):
    return n * SIDE
"""

# The function of a file travels as source, the lambda by value.
PROGRAM = """
import json, platform, sys
from shapes import area
from queue_manager import connect

added = 100
way = {"source": area, "value": lambda n: n + added}[sys.argv[1]]
with connect() as qm:
    print(json.dumps(list(qm.map(way, range(5)))))
"""

RESULTS = {"source": [0, 7, 14, 21, 28], "value": [100, 101, 102, 103, 104]}
IMAGES_PYTHON = (3, 13)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with the program and the modules of its function."""
    (tmp_path / "sizes.py").write_text("SIDE = 7\n")
    (tmp_path / "shapes.py").write_text(SHAPES)
    (tmp_path / "program.py").write_text(PROGRAM)
    for place in [tmp_path, *tmp_path.parents[:3]]:
        place.chmod(0o755)  # pytest makes its folders for one user only
    return tmp_path


def of_host(stack: Stack, folder: Path, way: str) -> subprocess.Popen[str]:
    """Start the program on this machine, with the tests' Python and the published port."""
    host, port = stack.address()
    settings = {"QUEUE_HOST": host, "QUEUE_PORT": str(port), "PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(
        [sys.executable, str(folder / "program.py"), way],
        env=clean_environment({**settings, "QUEUE_AUTHKEY": stack.key().decode()}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("way", ["source", "value"])
def test_a_program_in_a_container_of_the_network_brings_its_function(
    stack: Stack, folder: Path, way: str
) -> None:
    output: Any = stack.client.containers.run(
        stack.containers("worker")[0].image,
        ["python", "/program/program.py", way],
        network=f"{stack.project}_queue",
        volumes={str(folder): {"bind": "/program", "mode": "ro"}},
        environment={"QUEUE_AUTHKEY": stack.key().decode()},
        remove=True,
    )
    assert json.loads(output) == RESULTS[way]


def test_a_program_on_the_host_brings_its_module(stack: Stack, folder: Path) -> None:
    """Also where its Python can't encrypt: nobody but this machine reaches the port."""
    said, errors = of_host(stack, folder, "source").communicate(timeout=60)
    assert json.loads(said or "null") == RESULTS["source"], errors


def test_a_lambda_of_the_host_needs_a_worker_with_its_python(stack: Stack, folder: Path) -> None:
    """The status says which Python no worker has; the program goes on once it has one."""
    program = of_host(stack, folder, "value")
    try:
        if sys.version_info[:2] != IMAGES_PYTHON:
            name = f"Python {sys.version_info.major}.{sys.version_info.minor}"
            line = f"no worker has {name}: start one with {name}"
            eventually(lambda: line in stack.qm("status"))
            assert program.poll() is None
        else:
            assert json.loads(program.communicate(timeout=60)[0]) == RESULTS["value"]
    finally:
        program.kill()
        program.communicate(timeout=30)
