"""The examples of the documents, with plain processes: each command runs, and prints what is shown.

A document is one story. Its files are saved where they stand, its commands run in their order.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import Block, Command, blocks, commands, difference
from tests.integration.processes import KEY, REPO, Master

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
    "docker compose up --detach": "tests/hosts",
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

READS = re.compile(r"\bqm (results|status|failed|show) ")
"""What these print may need a moment to be as shown, such as behind a `qm retry`."""

CONNECTS = re.compile(r"^server_addr = .*\nm = .*\nm.connect\(\)\n", re.MULTILINE)
"""The three lines of `make client`."""


@pytest.fixture
def documents_master(start_master: Callable[..., Master]) -> Master:
    """A master that has run `square` as its run 1, as one in containers has, and a worker."""
    master = start_master(JOB="square")
    master.worker(WORKER_SLOTS="8")
    master.process.says(r"run 1 \(square\): 10 tasks done")
    return master


class Reader:
    """Somebody who does what a document says, in the folder of a master."""

    def __init__(self, master: Master, shared: Path) -> None:
        self.master, self.shared = master, shared
        bin_folder = str(Path(sys.executable).parent)  # has `qm`
        self.environment = master.environment()
        self.environment["PATH"] = f"{bin_folder}:{os.environ['PATH']}"
        self.client = (
            'server_addr = "127.0.0.1"\n'
            f"m = QueueManager(address=(server_addr, {master.port}), authkey={KEY.encode()!r})\n"
            "m.connect()\n"
        )
        shared.mkdir()

    def placed(self, text: str) -> str:
        """The text as it is without containers: `/shared` is a folder of the test."""
        text = text.replace(IN_CONTAINER, "").replace("/shared", str(self.shared))
        return CONNECTS.sub(lambda _: self.client, text)

    def save(self, block: Block) -> None:
        """Save the file that a block holds; a block without a path must run as it is."""
        if block.file is None:
            subprocess.run([sys.executable, "-c", block.text], check=True, env=self.environment)
        else:
            (self.master.folder / block.file).write_text(self.placed(block.text), "utf-8")

    def run(self, command: Command) -> None:
        """Run a command; it prints what is shown, or ends with 0 where nothing is shown."""
        deadline = time.monotonic() + (10.0 if READS.search(command.text) else 0.0)
        while wrong := self._wrong(command):
            assert time.monotonic() < deadline, f"$ {command.text}\n{wrong}"
            time.sleep(0.1)

    def _wrong(self, command: Command) -> str:
        done = subprocess.run(
            ["bash", "-c", self.placed(command.text)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
            cwd=self.master.folder,
            timeout=60,
        )
        if command.output:
            return difference(self.placed(command.output), done.stdout)
        return f"exit code {done.returncode}\n{done.stdout}" if done.returncode else ""


@pytest.mark.parametrize("document", ["README.md", "docs/jobs.md", "docs/tutorial.md"])
def test_the_examples_of_a_document_do_what_it_shows(
    documents_master: Master, tmp_path: Path, document: str
) -> None:
    reader = Reader(documents_master, tmp_path / "shared")
    ran = 0
    for block in blocks((REPO / document).read_text("utf-8")):
        if block.language == "python":
            reader.save(block)
        for command in commands(block) if block.language == "console" else ():
            if command.text not in ELSEWHERE:
                reader.run(command)
                ran += 1
    assert ran
