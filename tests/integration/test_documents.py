"""The examples of the documents, with plain processes: each command runs, and prints what is shown.

A document is one story. Its files are saved where they stand, its commands run in their order.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import CONNECTS, Reader
from tests.integration.processes import KEY, REPO, Master, clean_environment
from tests.wheels import make_wheel, offline

pytestmark = pytest.mark.timeout(600)  # a document is a long story

IN_CONTAINER = "docker compose exec master "
ELSEWHERE = {
    "git clone REPOSITORY quartermaster && cd quartermaster": "needs this project's address",
    "make up": "tests/docker",
    "make test": "is what runs this",
    "make client": "tests/docker",
    "make down": "tests/docker",
    "make local": "tests/integration/test_scripts.py",
    "make fetch": "tests/hosts",
    "make join": "tests/hosts",
    "docker compose kill master worker": "tests/docker",
    "docker compose up --detach master": "tests/hosts",
    "docker compose up --detach --scale worker=8": "tests/docker",
    "docker compose up --detach --scale worker=12": "tests/docker",
    "export QUEUE_PUBLISH=192.168.1.10:5000": "tests/hosts",
    "docker compose exec master qm submit images start=https://example.org/ pages=1000 --wait": (
        "no test asks the internet: tests/crawl"
    ),
    "export QUEUE_AUTHKEY=zQ7xK2m-9fTq0LdWb4YvRg QUEUE_HOST=ADDRESS-OF-THE-MASTER": (
        "needs another machine"
    ),
    "make venv && .venv/bin/python -m worker": "needs another machine",
    ".venv/bin/qm run square count=1000": "tests/integration/test_commands.py",
}
"""Commands that are not run here: which test runs them, or why none does."""


def _roman(folder: Path) -> dict[str, str]:
    """The settings by which a wheel of the tests is the package that examples name.

    No test asks the internet.
    """
    make_wheel(folder / "wheels", "roman", "5.1", "def toRoman(number): return 'I' * number\n")
    where = str(folder / "environments")
    return {"QUEUE_ENVIRONMENTS": where, **offline(folder / "wheels")}


@pytest.fixture
def documents_master(start_master: Callable[..., Master], tmp_path: Path) -> Master:
    """A master that has run `square` as its run 1, as one in containers has, and a worker."""
    master = start_master(JOB="square", **_roman(tmp_path))
    for name in ("shell.py", "logs.py", "mail.py"):
        shutil.copy(REPO / "jobs" / name, master.jobs)
    for name in ("weblog", "mailing", "output"):
        shutil.copytree(REPO / "jobs" / name, master.jobs / name)
    master.worker(WORKER_SLOTS="8")
    master.process.says(r"run 1 \(square\): 10 tasks done")
    return master


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "docs/jobs.md",
        "docs/tutorial.md",
        "docs/client.md",
        "docs/shell.md",
        "docs/schedules.md",
        "docs/logs.md",
        "docs/mail.md",
    ],
)
def test_the_examples_of_a_document_do_what_it_shows(
    documents_master: Master, tmp_path: Path, document: str
) -> None:
    master, shared = documents_master, tmp_path / "shared"
    shared.mkdir()
    connects = (
        'server_addr = "127.0.0.1"\n'
        f"m = QueueManager(address=(server_addr, {master.port}), authkey={KEY.encode()!r})\n"
        "m.connect()\n"
    )

    def placed(text: str) -> str:
        text = text.replace(IN_CONTAINER, "").replace("/shared", str(shared))
        return CONNECTS.sub(lambda _: connects, text)

    environment = master.environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # has `qm`
    assert Reader(master.folder, environment, placed, ELSEWHERE).read(REPO / document)


def test_the_examples_of_map_need_no_master(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PYTHONPATH": str(REPO), "PATH": path, "WORKER_SLOTS": "2", **_roman(tmp_path)}
    environment = clean_environment(own)
    assert Reader(tmp_path, environment, str, ELSEWHERE).read(REPO / "docs/map.md") >= 10
