"""A real site that nobody here wrote, in a container: a manual from one of Debian's packages.

What a crawl took is read from the web server's own log, the same for every crawler: from the start
of its first request to the end of its last one.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .. import processes

IMAGE = "quartermaster-bench-site"
_LIMIT_S = 600.0
_FLUSH_S = 2.0
_LOG = "/var/log/web/access.log"


@dataclass(frozen=True)
class Request:
    """One line of the log: when it began and ended (epoch), what it got, and what it was for."""

    began: float
    ended: float
    status: int
    path: str


@dataclass(frozen=True)
class Site:
    """The running web server. address: of its first page."""

    container: str
    address: str

    def requests(self, since: float) -> list[Request]:
        """Those that began since then. The log is a second late."""
        time.sleep(_FLUSH_S)
        words = ["docker", "exec", self.container, "cat", _LOG]
        text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        found = (_request(line) for line in text.splitlines())
        return [request for request in found if request.began >= since]


@contextlib.contextmanager
def running() -> Iterator[Site]:
    """Build it where that is needed, start it, and remove it at the end."""
    build = ["docker", "build", "--quiet", "--target", "site", "--tag", IMAGE]
    base = processes.ROOT / ".cache" / "base"
    if base.exists():
        build += ["--build-arg", f"BASE={base.read_text().strip()}"]
    _docker(*build[1:], str(processes.ROOT / "deploy" / "web"))
    container = _docker("run", "--detach", "--rm", IMAGE)
    try:
        where = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        yield Site(container, f"http://{_docker('inspect', '--format', where, container)}/")
    finally:
        _docker("rm", "--force", container)


def _docker(*words: str) -> str:
    done = subprocess.run(
        ["docker", *words], check=True, capture_output=True, text=True, timeout=_LIMIT_S
    )
    return done.stdout.strip()


def _request(line: str) -> Request:
    ended, took_s, status, _, _, path = line.split(" ", 5)
    return Request(float(ended) - float(took_s), float(ended), int(status), path)
