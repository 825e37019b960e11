"""A clone of the project on a host, where a user types the commands of docs/deployment.md."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
from collections import Counter
from functools import cache
from typing import Any

from tests.documents import document_commands
from tests.hosts.host import Host
from tests.hosts.namespaces import environment, run
from tests.integration.processes import REPO

DOCUMENT = REPO / "docs" / "deployment.md"
FOLDER = "quartermaster"

# This stands for ssh: `ssh HOST COMMAND` runs the command in that host's home, with its engine.
_SSH = """#!/bin/sh
while [ "$1" = -o ]; do shift 2; done
host=$1; shift
export DOCKER_HOST="unix://{hosts}/$host/docker.sock"
cd "{hosts}/$host/home" && exec sh -c "$*"
"""


@cache
def documented() -> frozenset[str]:
    """Return the commands of the document."""
    return frozenset(command for _, command in document_commands(DOCUMENT))


def _read(terminal: int, within_s: float = 60.0) -> str | None:
    """Return what a terminal shows next; None at the end."""
    assert select.select([terminal], [], [], within_s)[0], f"nothing is shown for {within_s} s"
    try:
        return os.read(terminal, 4_096).decode(errors="replace") or None
    except OSError:  # no program has the terminal open any more
        return None


class Site:
    """A user's shell on a host, in the project's folder.

    Attributes:
        settings: The variables that the user has exported.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.folder = host.home / FOLDER
        self.settings: dict[str, str] = {}
        tools = host.home / "bin"
        tools.mkdir()
        (tools / "hostname").write_text(f"#!/bin/sh\necho {host.name}\n")
        (tools / "ssh").write_text(_SSH.format(hosts=host.home.parents[1]))
        for tool in tools.iterdir():
            tool.chmod(0o755)
        self._path = f"{tools}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

    def types(self, line: str, **options: Any) -> str:
        """Run a command, which the document must have, and return what it prints."""
        assert line in documented(), f"not in {DOCUMENT.name}: {line}"
        if line.startswith("export "):
            self.settings |= dict(word.split("=", 1) for word in shlex.split(line)[1:])
            return ""
        return self.runs(line, **options)

    def runs(self, line: str, **options: Any) -> str:
        """Run any command, and return what it prints."""
        return run(["bash", "-c", line], cwd=self.folder, settings=self._shell(), **options)

    def _shell(self) -> dict[str, str]:
        """Return the variables of the user's shell."""
        settings = {**self.settings, "PATH": self._path, "HOME": str(self.host.home)}
        return settings | {"DOCKER_HOST": f"unix://{self.host.socket}"}

    def answers(self, line: str, prompt: str, answer: str) -> str:
        """Run a documented command on a terminal, answer its prompt, and return what it shows."""
        assert line in documented(), f"not in {DOCUMENT.name}: {line}"
        ours, terminal = pty.openpty()
        process = subprocess.Popen(
            ["bash", "-c", line], cwd=self.folder, env=environment(self._shell()),
            stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        )  # fmt: skip
        os.close(terminal)
        shown = ""
        try:
            while (part := _read(ours)) is not None:
                shown += part
                if prompt in shown and answer:
                    os.write(ours, f"{answer}\n".encode())
                    answer = ""
            assert process.wait(30) == 0, shown
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        return shown

    def qm(self, *words: str, **options: Any) -> str:
        """Run a `qm` command in the master's container, and return what it prints."""
        return self.runs(f"docker compose exec -T master qm {shlex.join(words)}", **options)

    def results(self, number: int) -> list[dict[str, Any]]:
        """Return the ended tasks of a run."""
        return [json.loads(line) for line in self.qm("results", str(number)).splitlines()]

    def remove(self) -> None:
        """Remove the containers, the volumes and the folder, and the user's tools."""
        if self.folder.exists():
            self.runs("docker compose down --volumes --timeout 2", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.host.home / "bin")


def joining(a: Site) -> str:
    """Have A send its key to the others, and return the line that it prints for them."""
    (line,) = a.types('make join HOSTS="hostB hostC"').splitlines()
    assert line.startswith("QUEUE_HOST=203.0.113.11 QUEUE_PORT=5000 WORKER_NAME=")
    return line


def workers(a: Site) -> Counter[str]:
    """Count the connected workers of each host."""
    status = a.qm("status", check=False)
    names = re.findall(r"^worker +(?:(host[BC]):)?\w+/\d+", status, re.MULTILINE)
    return Counter(name or "hostA" for name in names)
