"""The Docker engine of a host, which the machine's own `docker` command reaches by its socket."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.hosts.namespaces import run


class Engine:
    """An engine that listens on a socket. `docker` runs in the folder `home`."""

    def __init__(self, socket_path: Path, home: Path) -> None:
        self.socket = socket_path
        self.home = home

    def docker(self, *words: str, settings: Mapping[str, str] = {}, **options: Any) -> str:
        """Return what a `docker` command prints; options are those of `namespaces.run`."""
        settings = {**settings, "DOCKER_HOST": f"unix://{self.socket}"}
        return run(["docker", *words], cwd=self.home, settings=settings, **options)

    def compose(self, *words: str, **options: Any) -> str:
        """Return what a `docker compose` command prints."""
        return self.docker("compose", *words, **options)

    def load(self, tar: Path) -> None:
        """Load the images of a file that `docker save` wrote."""
        self.docker("load", "--quiet", "--input", str(tar))

    def answers(self) -> bool:
        """Return whether the engine answers."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
                client.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
                return b" 200 " in client.recv(100)
            except OSError:
                return False
