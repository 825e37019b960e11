"""The images of master and worker, which the machine's own engine builds and hosts load."""

from __future__ import annotations

import os
from pathlib import Path

from tests.hosts.engine import Engine
from tests.hosts.namespaces import run
from tests.integration.processes import REPO

BUILD_LIMIT_S = 280.0
PARTS = ("master", "worker")


class Images:
    """Both images in one file. On a host they have the names that the project's files use.

    On the machine's engine they have names of their own, so that they replace nobody else's images.

    Args:
        folder: The folder for the file.
        base: The base image of the build.
    """

    def __init__(self, folder: Path, base: str) -> None:
        self.tar = folder / "images.tar"
        self._name = f"quartermaster-hosts-{os.getpid()}"
        self._base = base
        self._on: set[Path] = set()

    def build(self) -> None:
        """Build the images as a user does, and write the file."""
        settings = {"IMAGES": self._name, "IMAGES_TAG": "latest", "BASE": self._base}
        words = ["docker", "compose", "build"]
        run(words, cwd=REPO, settings=settings, timeout_s=BUILD_LIMIT_S)
        names = [f"{self._name}-{part}:latest" for part in PARTS]
        run(["docker", "save", "--output", str(self.tar), *names])

    def load(self, *hosts: Engine, parts: tuple[str, ...] = PARTS) -> None:
        """Load the images as quartermaster-PART:latest on the hosts that do not have them.

        A host keeps its images when it is killed and started again.
        """
        for host in hosts:
            if host.socket not in self._on:
                host.load(self.tar)
                self._on.add(host.socket)
            for part in parts:
                host.docker("tag", f"{self._name}-{part}:latest", f"quartermaster-{part}:latest")

    def remove(self) -> None:
        """Remove the images from the machine's engine, and the file."""
        run(["docker", "rmi", *(f"{self._name}-{part}:latest" for part in PARTS)], check=False)
        self.tar.unlink(missing_ok=True)
