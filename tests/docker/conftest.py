"""pytest-docker brings up a copy of the checkout, as a stranger has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest

from tests.chosen import take_chosen

if TYPE_CHECKING:  # who runs these tests one after the other may have no xdist
    from xdist.remote import Producer
    from xdist.scheduler.protocol import Scheduling

CHECKOUT = Path(__file__).parents[2]
WORKERS = 8
JOB = """
import os, socket, time

def tasks(count: int = 100, pause_s: float = 0.05):
    for number in range(count):
        yield [number, pause_s]

def work(task):
    time.sleep(task[1])
    return [task[0], socket.gethostname(), os.getuid()]
"""

PARTS = (
    ("test_compose", "test_clients", "test_environments", "test_documents"),
    ("test_chaos", "test_demo_logs"),
    ("test_postgres", "test_mail", "test_backup"),
    ("test_mail_scale", "test_images_python"),
)
"""The files that one process runs: the parts take about as long. The first three share a stack.
The last part, which has the processors busy, begins when the first process is free. A file
that is not here is a part by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(600))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Shares the tests out by PARTS. By files alone, the long ones would not begin first."""
    from xdist.scheduler import LoadFileScheduling

    class ByParts(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = Path(nodeid.partition("::")[0]).stem
            return next((part[0] for part in PARTS if file in part), file)

    return ByParts(config, log)


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that a test may add a job."""
    folder = tmp_path_factory.mktemp("stack") / "clone"
    left_out = shutil.ignore_patterns(
        ".git", ".venv", ".cache", "data", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis"
    )
    shutil.copytree(CHECKOUT, folder, ignore=left_out)
    # pytest makes its folders for one user only; the containers' user must reach the mounted jobs.
    for parent in [folder, *folder.parents[:3]]:
        parent.chmod(0o755)
    (folder / "jobs" / "where.py").write_text(JOB)
    return folder


@pytest.fixture(scope="session")
def docker_compose_command() -> str:
    return "docker compose"


@pytest.fixture(scope="session")
def docker_compose_file(clone: Path) -> str:
    return str(clone / "docker-compose.yml")


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    return f"quartermaster-test-{os.getpid()}"


@pytest.fixture(scope="session", autouse=True)
def own_images() -> Iterator[None]:
    """All stacks of these tests share one set of images, and leave the user's images alone."""
    name = f"quartermaster-test-{os.getpid()}"
    os.environ["IMAGES"] = name
    yield
    del os.environ["IMAGES"]
    images = [f"{name}-{part}:latest" for part in ("master", "worker", "web", "relay")]
    subprocess.run(["docker", "rmi", *images], check=False, capture_output=True)


@pytest.fixture(scope="session")
def docker_setup() -> list[str]:
    take_chosen("BASE")
    return ["build", f"up --detach --scale worker={WORKERS}"]


@pytest.fixture(scope="session")
def docker_cleanup() -> list[str]:
    return ["down --volumes --timeout 12"]


class Stack:
    """A running compose project. files: its compose files, each over the one before.

    folder: that of the first file.
    """

    def __init__(self, client: docker.DockerClient, project: str, *files: str) -> None:
        self.client, self.project, self.folder = client, project, Path(files[0]).parent
        self._command = ["docker", "compose", "-p", project]
        self._command += [word for file in files for word in ("-f", file)]

    def compose(
        self, *words: str, check: bool = True, given: str | None = None, within_s: float = 200.0
    ) -> str:
        """Return the output of a `docker compose` command; an AssertionError if it fails."""
        done = subprocess.run(
            [*self._command, *words], capture_output=True, text=True, timeout=within_s, input=given
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def qm(self, *words: str) -> str:
        """Return the output of a `qm` command in the master's container."""
        done = subprocess.run(
            [*self._command, "exec", "-T", "master", "qm", *words],
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def results(self, run: int) -> list[dict[str, Any]]:
        """Return the ended tasks of a run."""
        return [json.loads(line) for line in self.qm("results", str(run)).splitlines()]

    def containers(self, service: str) -> list[Any]:
        """Return the running containers of a service."""
        labels = [
            f"com.docker.compose.project={self.project}",
            f"com.docker.compose.service={service}",
        ]
        found: list[Any] = self.client.containers.list(filters={"label": labels})
        return found

    def address(self) -> tuple[str, int]:
        """Return the address and port of this host at which the queue is published."""
        host, _, port = self.compose("port", "master", "5000").strip().rpartition(":")
        return host, int(port)

    def key(self) -> bytes:
        """Return the authkey that the master made."""
        return self.compose("exec", "-T", "master", "cat", "/key/authkey").strip().encode()


@pytest.fixture(scope="session")
def stack(
    docker_services: Any, docker_compose_project_name: str, docker_compose_file: str
) -> Iterator[Stack]:
    client = docker.from_env()
    found = Stack(client, docker_compose_project_name, docker_compose_file)
    try:
        eventually(lambda: "tasks done" in found.compose("logs", "master"), 60)
        yield found
    except BaseException:
        print(found.compose("logs", "--tail", "50", check=False))
        raise
    finally:
        client.close()


def eventually(condition: Callable[[], Any], within_s: float = 60.0) -> Any:
    """Wait until a condition holds, and return its value; an AssertionError at the deadline."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.2)
