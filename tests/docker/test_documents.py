"""README and tutorial in real containers, each from `make up` on, as a newcomer has it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import CONNECTS, Reader

ELSEWHERE = {
    "git clone REPOSITORY quartermaster && cd quartermaster",  # this is a clone
    "make test",  # is what runs this
    "make fetch",  # tests/hosts
    "make join",  # tests/hosts, with the next two
    "export QUEUE_PUBLISH=192.168.1.10:5000",
    "docker compose up --detach master",
    "docker compose exec master qm submit images start=https://example.org/ pages=1000 --wait",
    "make local",  # tests/integration, with what needs no containers
    ".venv/bin/qm run square count=1000",
    "export QUEUE_AUTHKEY=zQ7xK2m-9fTq0LdWb4YvRg QUEUE_HOST=ADDRESS-OF-THE-MASTER",
    "make venv && .venv/bin/python -m worker",
}

VARIES = re.compile(r"^(?:worker .*|\d+ \* \d+ = \d+)$", re.MULTILINE)
"""Lines of `make up` whose names, numbers and order are others each time."""


@pytest.fixture
def newcomer(clone: Path, docker_setup: list[str]) -> Iterator[dict[str, str]]:
    """The environment of somebody with a project of their own, which is gone at the end.

    docker_setup chooses the base image.
    """
    environment = {**os.environ, "COMPOSE_PROJECT_NAME": f"quartermaster-read-{os.getpid()}"}
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # `make` below `make` says more
        environment.pop(name, None)
    yield environment
    down = ["docker", "compose", "down", "--volumes", "--timeout", "12"]
    subprocess.run(down, cwd=clone, env=environment, check=True, capture_output=True)


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_the_commands_of_a_document_do_what_it_shows_in_containers(
    clone: Path, newcomer: dict[str, str], document: str
) -> None:
    def placed(text: str) -> str:
        text = VARIES.sub("...", text)
        if "with connect()" in text:
            return text.replace("connect()", address())
        return CONNECTS.sub(lambda _: connects(), text) if "import" in text else text

    def connects() -> str:
        words = ["make", "--no-print-directory", "client"]
        return subprocess.run(
            words, cwd=clone, env=newcomer, check=True, capture_output=True, text=True
        ).stdout

    def address() -> str:
        found = re.search(r"server_addr, (\d+)\), authkey=(.*)\)$", connects(), re.MULTILINE)
        assert found
        return f'connect("127.0.0.1:{found[1]}", authkey={found[2]})'

    assert Reader(clone, newcomer, placed, ELSEWHERE).read(clone / document)
