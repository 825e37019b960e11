"""A real site that nobody here wrote, and what is crawled of it: a manual from a Debian package."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from bench.crawling.website import FLUSH_S, LOG, Request, requests_in
from tests.docker.conftest import Stack, eventually

WORKERS = 4
WEB = """
  web:
    image: ${IMAGES:-quartermaster}-web:${IMAGES_TAG:-latest}
    build:
      context: deploy/web
      target: site
      args: {BASE: "${BASE:-python:3.13-slim-trixie}"}
    networks: [queue]
    stop_grace_period: 1s
    volumes:
      - ./tests/crawl/slow.conf:/etc/nginx/conf.d/slow.conf:ro
      - ./tests/crawl/combined.conf:/etc/nginx/conf.d/combined.conf:ro
"""
SLOW = "http://web:8080/"
COMBINED = "/var/log/web/combined.log"
DIGESTS = """
import hashlib, json, os, sys
found = {}
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            found[os.path.relpath(path, sys.argv[1])] = hashlib.sha256(file.read()).hexdigest()
json.dump(found, sys.stdout)
"""


@dataclass(frozen=True)
class Manual:
    """The site, a master and workers, in a compose project of their own."""

    stack: Stack

    def crawl(self, name: str, *more: str, start: str = "http://web/", wait: bool = True) -> int:
        """Crawl all of it into /shared/NAME. The same name again waits for the same run."""
        words = ["submit", "images", f"start={start}", "private=1", "pages=100000"]
        words += ["depth=1000", f"out=/shared/{name}", *more, "--key", name]
        return int(self.stack.qm(*words, *(["--wait"] if wait else [])).split()[0])

    def files(self, name: str) -> dict[str, str]:
        """The SHA-256 of all files in /shared/NAME, by their paths."""
        return self._digests("master", f"/shared/{name}")

    def mirror(self) -> dict[str, str]:
        """The SHA-256 of all that `wget --mirror` finds, by path."""
        wget = "wget --quiet --mirror --execute robots=off --directory-prefix=/tmp/mirror"
        script = f"{wget} http://localhost/ || [ $? = 8 ]"  # 8: some address was a 404
        self.stack.compose("exec", "-T", "web", "sh", "-c", script)
        return self._digests("web", "/tmp/mirror/localhost")

    def requests(self, since: float) -> list[Request]:
        """What was asked of the web server since then. Its log is a second late."""
        time.sleep(FLUSH_S)
        return requests_in(self.stack.compose("exec", "-T", "web", "cat", LOG), since)

    def log(self) -> str:
        """The web server's log in the combined format, which is a second late."""
        time.sleep(FLUSH_S)
        return self.stack.compose("exec", "-T", "web", "cat", COMBINED)

    def count(self, log: str, name: str, *more: str) -> dict[str, Any]:
        """What the job `logs` counts in a log, as its report has it. It is in /shared/NAME."""
        folder = f"/shared/{name}"
        write = ["sh", "-c", f"mkdir -p {folder} && cat > {folder}/access.log"]
        self.stack.compose("exec", "-T", "master", *write, given=log)
        self.stack.qm(
            "submit", "logs", f"paths={folder}/access.log", f"out={folder}", *more, "--wait"
        )
        said = self.stack.compose("exec", "-T", "master", "cat", f"{folder}/report.json")
        found: dict[str, Any] = json.loads(said)
        return found

    def kill(self, service: str, number: int) -> None:
        """SIGKILL one of a service's containers from the host; its policy starts it again."""
        containers = sorted(self.stack.containers(service), key=lambda c: str(c.name))
        if containers:
            pid = containers[number % len(containers)].attrs["State"]["Pid"]
            if pid:
                os.kill(pid, signal.SIGKILL)

    def _digests(self, service: str, folder: str) -> dict[str, str]:
        said = self.stack.compose("exec", "-T", service, "python3", "-c", DIGESTS, folder)
        found: dict[str, str] = json.loads(said)
        return found


@contextmanager
def running(clone: Path) -> Iterator[Manual]:
    """Bring it up, and remove it with its volumes at the end."""
    file = clone / "docker-compose.images.yml"
    compose = (clone / "docker-compose.yml").read_text()
    file.write_text(compose.replace("\nservices:\n", f"\nservices:\n{WEB}", 1))
    client = docker.from_env()
    stack = Stack(client, f"quartermaster-images-{os.getpid()}", str(file))
    try:
        stack.compose("up", "--build", "--detach", "--scale", f"worker={WORKERS}")
        eventually(lambda: "connected with" in stack.compose("logs", "master"), 60)
        yield Manual(stack)
    except BaseException:
        print(stack.compose("logs", "--tail", "60", "master", check=False))
        raise
    finally:
        stack.compose("down", "--volumes", "--timeout", "2", check=False)
        client.close()


def most_at_once(requests: list[Request]) -> int:
    """The most requests that were being served at the same time."""
    events = [(r.began, 1) for r in requests] + [(r.ended, -1) for r in requests]
    steps = (step for _, step in sorted(events))
    return max(itertools.accumulate(steps))


def most_starts(requests: list[Request], window_s: float) -> int:
    """The most requests that began within so many seconds."""
    began = sorted(request.began for request in requests)
    most = first = 0
    for last, now in enumerate(began):
        while began[first] <= now - window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def pictures(files: dict[str, str]) -> dict[str, str]:
    """Paths that are named like pictures, by their content."""
    endings = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".ico", ".webp")
    return {digest: path for path, digest in files.items() if path.lower().endswith(endings)}


def stored(files: dict[str, str]) -> dict[str, str]:
    """The files that a crawl has stored, by the content that their names promise."""
    paths = [path for path in files if len(path.partition("/")[0]) == 2]
    return {path.partition(".")[0].replace("/", ""): path for path in paths}
