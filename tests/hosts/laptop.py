"""A machine with Python 3.13 and the package, without Docker and without a clone of the project."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from tests.hosts.host import Host
from tests.hosts.namespaces import Process
from tests.hosts.site import documented

# The hosts reach no index, so pip takes the wheel alone. The image has what the wheel depends on.
_SETTINGS = {"PYTHONPATH": "", "HOME": "/root", "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}


class Laptop:
    """A user's shell in a container of the worker's image, at the address of a host.

    The project's own copy in the image is removed; `wheel` is there.

    Attributes:
        settings: The variables that the user has exported.
    """

    def __init__(self, host: Host, wheel: Path) -> None:
        self.host = host
        self.settings = dict(_SETTINGS)
        words = ["--user", "0", "--network", "host", "--init", "--workdir", "/root"]
        host.docker(
            "run", "--detach", "--name", "laptop", *words, "quartermaster-worker", "sleep", "inf"
        )
        self.runs("rm -rf /app")
        host.docker("cp", str(wheel), f"laptop:/root/{wheel.name}")

    def close(self) -> None:
        """Remove the container."""
        self.host.docker("rm", "--force", "laptop", check=False)

    def types(self, line: str, **options: Any) -> str:
        """Run a command, which the document must have, and return what it prints."""
        assert line in documented(), f"not in the document: {line}"
        if line.startswith("export "):
            self.settings |= dict(word.split("=", 1) for word in shlex.split(line)[1:])
            return ""
        return self.runs(line, **options)

    def runs(self, line: str, **options: Any) -> str:
        """Run any command, and return what it prints; options are those of `namespaces.run`."""
        return self.host.docker(*self._words(line), **options)

    def spawns(self, line: str) -> Process:
        """Start a command, with its output in a pipe."""
        socket = f"unix://{self.host.socket}"
        return self.host.spawn("env", f"DOCKER_HOST={socket}", "docker", *self._words(line))

    def saves(self, name: str, text: str) -> None:
        """Write a file."""
        self.runs(f"cat >{name}", stdin=text)

    def _words(self, line: str) -> list[str]:
        settings = (f"--env={name}={value}" for name, value in self.settings.items())
        return ["exec", "--interactive", *settings, "laptop", "sh", "-c", line]
