"""The package as a stranger installs it: a wheel, in a new environment, outside of a clone."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queue_manager import __version__
from tests.integration.processes import REPO, Master

pytestmark = pytest.mark.timeout(300)  # a new machine downloads packages

PARTS = ("pyproject.toml", "README.md", "LICENSE", "queue_manager", "master", "worker")
DEPENDENCIES = (
    *("click", "cloudpickle", "cronsim", "msgspec", "packaging", "tqdm", "tzdata"),
    *("pythonjsonlogger", "python_json_logger"),
)
"""Their modules, and the names of their distributions where those are others."""

BIN = Path(sys.executable).parent
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")

SQUARE = """
def tasks(count: int = 10):
    yield from range(count)

def work(n):
    return n * n

def collect(n, result):
    print(f"{n} -> {result}")
"""

CLIENT = """
from queue_manager import connect

with connect(timeout=60) as qm:
    run = qm.submit("count_up", count=4)
    assert run.wait(timeout=60).state == "done"
    print(list(run.results()))
"""

NEEDED = "import asyncio, ssl, logging, dataclasses, multiprocessing.connection, msgspec"

CONSUMER = """
from queue_manager import Client, Options, Task, connect

def client() -> Client:
    return connect("master:5000", authkey="a key of its own")

def tasks(count: int) -> list[Task]:
    return [Task(n, priority=1) for n in range(count)]

OPTIONS = Options(attempts=3, timeout_s=1.5)
"""


def said(*words: str | Path, cwd: Path = REPO, code: int = 0, **settings: str) -> str:
    """What a command prints, of its standard output and error. It ends with this exit code."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=clean | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=250,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def uv(*words: str | Path) -> None:
    """Run uv with the settings of this machine's pip, without the network if that will do."""
    script = '. scripts/uv-settings.sh; use_pip_settings "$0"; exec "$@"'
    command = ("bash", "-c", script, sys.executable, BIN / "uv", "--quiet")
    try:
        said(*command, "--offline", *words)
    except AssertionError:
        said(*command, *words)


def pythons() -> Iterator[str]:
    """The Pythons of this machine that the package is for: this one, and one of each version."""
    for version in VERSIONS:
        places = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        found = str(places[-1]) if places else shutil.which(f"python{version}")
        if version == HERE:
            yield sys.executable
        elif (
            found
            and not subprocess.run([found, "-c", "import ssl"], capture_output=True).returncode
        ):
            yield found


Made = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Makes a folder once for all processes of pytest-xdist: `made(name, fill)` is where it is.

    What fails is made again by the next one that needs it.
    """
    here = tmp_path_factory.getbasetemp()
    place = here.parent if "PYTEST_XDIST_WORKER" in os.environ else here

    def once(name: str, fill: Callable[[Path], object]) -> Path:
        folder = place / f"package-{name}"
        with (place / f"package-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "made").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                (folder / "made").touch()
        return folder

    return once


@pytest.fixture(scope="module")
def wheel(made: Made) -> Path:
    """The wheel, built of a copy of the checkout by the setuptools that the lock names."""
    (built,) = made("wheel", build_wheel).glob("*.whl")
    return built


def build_wheel(folder: Path) -> None:
    """Build the wheel into a folder."""
    for part in PARTS:
        source, target = REPO / part, folder / "source" / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    build = ("wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    said(sys.executable, "-m", "pip", *build, "--wheel-dir", folder, folder / "source")


def make_environment(python: str, folder: Path, wheel: Path) -> None:
    """Make an environment with the locked dependencies and the wheel."""
    uv("venv", "--python", python, folder)
    into = ("pip", "install", "--python", folder / "bin" / "python")
    uv(*into, "--require-hashes", "-r", REPO / "requirements.lock")
    uv(*into, "--no-deps", "--compile-bytecode", wheel)


def version_of(python: str) -> str:
    """How a Python is called in the names of tests."""
    return Path(python).parts[-3]


@pytest.fixture(scope="module", params=pythons(), ids=version_of)
def installed(request: pytest.FixtureRequest, made: Made, wheel: Path) -> Path:
    """The bin folder of an environment of each of the Pythons."""
    python: str = request.param
    name = f"env-{version_of(python)}"
    return made(name, lambda folder: make_environment(python, folder / "env", wheel)) / "env/bin"


@pytest.fixture(scope="module")
def alone(made: Made, wheel: Path) -> Path:
    """The bin folder of an environment that pip filled from the wheel, without an index.

    Its dependencies are links to those of this Python, which pip finds there.
    """
    return made("alone", lambda folder: fill_without_index(folder, wheel)) / "env/bin"


def fill_without_index(folder: Path, wheel: Path) -> None:
    """Make that environment, and the folder of links, in a folder."""
    env, links = folder / "env", folder / "dependencies"
    said(sys.executable, "-m", "venv", "--without-pip", env)
    links.mkdir()
    import click

    site = Path(str(click.__file__)).parents[1]
    for name in DEPENDENCIES:
        for found in (*site.glob(name), *site.glob(f"{name}-*.dist-info")):
            (links / found.name).symlink_to(found)
    (packages,) = env.glob("lib/*/site-packages")
    (packages / "dependencies.pth").write_text(f"{links}\n")
    pip = (sys.executable, "-m", "pip", "--python", env / "bin" / "python")
    said(*pip, "install", "--quiet", "--no-index", wheel, PIP_NO_INDEX="1")


def test_the_wheel_has_its_types_its_schema_and_no_jobs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert wheel.name.startswith(f"quartermaster_queue-{__version__}-py3-none-any")
    assert {f"{package}/py.typed" for package in ("queue_manager", "master", "worker")} <= names
    assert "master/store/sqlite/schema/schema.sql" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "queue_manager",
        "master",
        "worker",
        "quartermaster_queue",
    }
    ours = {str(path.relative_to(REPO)) for path in (REPO / "queue_manager").rglob("*.py")}
    assert ours <= names


def test_pip_installs_it_without_the_network(alone: Path, tmp_path: Path) -> None:
    assert said(alone / "qm", "--version", cwd=tmp_path).endswith(f"version {__version__}\n")
    code = "import queue_manager; print(queue_manager.__file__)"
    assert str(alone.parent) in said(alone / "python", "-c", code, cwd=tmp_path)


def test_its_command_and_its_module_are_there(installed: Path, tmp_path: Path) -> None:
    assert said(installed / "qm", "--version", cwd=tmp_path).endswith(f"version {__version__}\n")
    code = "import queue_manager as q; print(*(getattr(q, name) for name in q.__all__))"
    assert __version__ in said(installed / "python", "-c", code, cwd=tmp_path)


def test_a_job_runs_in_any_folder(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "square.py").write_text(SQUARE)
    settings = {"WORKER_SLOTS": "1", "QUEUE_TLS": "off"}
    lines = said(installed / "qm", "run", "square", "count=3", cwd=tmp_path, **settings)
    assert {"0 -> 0", "1 -> 1", "2 -> 4"} <= set(lines.splitlines())


def test_map_needs_two_files_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("def work(n):\n    return n * n\n")
    (tmp_path / "inputs.jsonl").write_text("1\n2\n3\n")
    words = (installed / "qm", "map", "work.py", "inputs.jsonl")
    assert said(*words, cwd=tmp_path, WORKER_SLOTS="2") == "1\n4\n9\n"


def test_map_runs_files_that_are_called_as_our_packages_are(alone: Path, tmp_path: Path) -> None:
    """A folder's own worker.py, which Python would find first, is not taken for ours."""
    (tmp_path / "worker.py").write_text("raise SystemExit('not this one')\n")
    (tmp_path / "squares.py").write_text("def work(n):\n    return n * n\n")
    (tmp_path / "inputs.jsonl").write_text("1\n2\n")
    assert said(alone / "qm", "map", "squares.py", "inputs.jsonl", cwd=tmp_path) == "1\n4\n"


def test_a_program_connects_to_a_master_elsewhere(
    installed: Path, master: Master, tmp_path: Path
) -> None:
    master.worker()
    settings = {k: v for k, v in master.environment().items() if k.startswith("QUEUE_")}
    (tmp_path / "elsewhere").mkdir()
    printed = said(installed / "python", "-c", CLIENT, cwd=tmp_path / "elsewhere", **settings)
    assert printed == "[0, 1, 4, 9]\n"


def test_without_a_jobs_folder_a_line_says_where_the_job_belongs(
    alone: Path, tmp_path: Path
) -> None:
    last = said(alone / "qm", "run", "square", cwd=tmp_path, code=2).splitlines()[-1]
    assert last.startswith("qm: no job 'square': jobs/ is empty or missing; put yours at jobs/")


def test_a_program_that_uses_it_is_checked_against_its_types(alone: Path, tmp_path: Path) -> None:
    program = tmp_path / "consumer.py"
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", alone / "python")
    program.write_text(CONSUMER)
    assert "Success" in said(*mypy, program, cwd=tmp_path)
    program.write_text(CONSUMER.replace("attempts=3", 'attempts="3"'))
    assert "[arg-type]" in said(*mypy, program, cwd=tmp_path, code=1)


def test_its_import_loads_no_module_that_can_wait(installed: Path, tmp_path: Path) -> None:
    code = "import sys, queue_manager; print(*sys.modules)"
    loaded = set(said(installed / "python", "-c", code, cwd=tmp_path).split())
    assert "queue_manager.job.contract" in loaded
    assert not loaded & {"asyncio", "ssl", "socket", "sqlite3", "logging", "click", "numpy"}


def test_its_import_takes_less_than_a_tenth_of_a_second(installed: Path, tmp_path: Path) -> None:
    """On a busy host: at most twice what it needs of the standard library.

    That is processor time, so the tests beside it count for little.
    """

    def took_s(code: str) -> float:
        program = (
            f"import time; began = time.process_time(); {code}; print(time.process_time() - began)"
        )
        return float(said(installed / "python", "-c", program, cwd=tmp_path))

    # In turns: the machine is as busy for both.
    pairs = [(took_s("from queue_manager import connect"), took_s(NEEDED)) for _ in range(5)]
    took, needed = (min(times) for times in zip(*pairs, strict=True))
    assert took < max(0.1, 2 * needed), (took, needed)
