"""The page about backups in containers: its commands, as they stand, with a store that is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import document_commands

from .conftest import CHECKOUT, Stack, eventually

PAGE = CHECKOUT / "docs" / "backup.md"


@pytest.fixture
def without_copies(stack: Stack, clone: Path) -> Iterator[None]:
    """Take away what deploy/backup.yml adds to the stack: the others would leave that behind."""
    yield
    files = (str(clone / name) for name in ("docker-compose.yml", "deploy/backup.yml"))
    both = Stack(stack.client, stack.project, *files)
    both.compose("rm", "--stop", "--force", "backup")
    stack.client.volumes.get(f"{stack.project}_backup").remove()


@pytest.mark.usefixtures("without_copies")
def test_the_commands_of_the_page_in_containers(stack: Stack, clone: Path) -> None:
    environment = {**os.environ, "COMPOSE_PROJECT_NAME": stack.project}

    def run(command: str) -> None:
        done = subprocess.run(
            ["bash", "-c", command],
            env=environment,
            cwd=clone,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def done(count: int) -> tuple[int, list[dict[str, object]]]:
        run = int(stack.qm("submit", "where", f"count={count}", "pause_s=0", "--wait"))
        return run, stack.results(run)

    def commands(heading: str) -> list[str]:
        found = [command for _, command in document_commands(PAGE, heading)]
        return [command for command in found if command.startswith("docker ")]

    number, before = done(20)
    (copy,) = commands("One copy")
    run(copy)
    lost, _ = done(5)
    for command in commands("Restore"):
        run(command)
    shown = ("exec", "-T", "master", "qm", "status", str(lost))
    eventually(lambda: f"no run {lost}; " in stack.compose(*shown, check=False))
    assert stack.results(number) == before

    follow, stop, restore, start = commands("A copy of each commit")
    run(follow)
    followed, rows = done(30)
    written = "import json; print(json.load(open('/backup/copy.json'))['complete_at'])"
    ended = float(stack.compose("exec", "-T", "master", "date", "+%s.%N"))
    (follower,) = stack.containers("backup")

    def complete_at() -> float:
        return float(follower.exec_run(["python", "-c", written]).output or 0)

    eventually(lambda: complete_at() > ended)
    stack.compose("kill", "master")
    run(stop)
    gone = "rm -r /data/queue.sqlite3*"
    stack.compose("run", "--rm", "--no-deps", "-T", "master", "sh", "-c", gone)
    run(restore)
    run(start)
    eventually(lambda: stack.compose("exec", "-T", "master", "qm", "status", check=False))
    assert stack.results(followed) == rows
    assert stack.results(number) == before
