"""A real site that nobody here wrote, in a container: a manual from one of Debian's packages.

What a crawl took is read from the web server's own log, the same for every crawler: from the start
of its first request to the end of its last one.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..rig import processes
from ..rig.containers import build, docker

IMAGE = "quartermaster-bench-site"
PAUSE_S = 0.3
FLUSH_S = 2.0
LOG = "/var/log/web/access.log"


@dataclass(frozen=True)
class Request:
    """One line of the log: when it began and ended (epoch), what it got, and what it was for.

    whole: all of the answer was sent; else whoever asked was gone.
    """

    began: float
    ended: float
    status: int
    path: str
    whole: bool


@dataclass(frozen=True)
class Site:
    """The running web server. address: of its first page."""

    container: str
    address: str

    def requests(self, since: float) -> list[Request]:
        """The requests that began since then. The log is a second late."""
        time.sleep(FLUSH_S)
        return requests_in(docker("exec", self.container, "cat", LOG), since)

    def span_s(self, since: float) -> float:
        """Seconds from the first request of the last crawl to the end of its last one.

        A crawl before it, to warm up, has ended a while ago: behind the longest pause.
        """
        requests = sorted(self.requests(since), key=lambda request: request.began)
        pauses = [b.began - a.began for a, b in itertools.pairwise(requests)]
        longest = max(range(len(pauses)), key=lambda i: pauses[i])
        first = longest + 1 if longest < len(requests) // 2 and pauses[longest] > PAUSE_S else 0
        return max(request.ended for request in requests) - requests[first].began


@contextlib.contextmanager
def running() -> Iterator[Site]:
    """Build it where that is needed, start it, and remove it at the end."""
    build(str(processes.ROOT / "deploy" / "web"), "site", IMAGE)
    container = docker("run", "--detach", "--rm", IMAGE)
    try:
        where = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        yield Site(container, f"http://{docker('inspect', '--format', where, container)}/")
    finally:
        docker("rm", "--force", container)


def requests_in(log: str, since: float) -> list[Request]:
    """The requests of a log that began since then."""
    found = (_request(line) for line in log.splitlines())
    return [request for request in found if request.began >= since]


def _request(line: str) -> Request:
    ended, took_s, status, _, _, completion, path = line.split(" ", 6)
    began = float(ended) - float(took_s)
    return Request(began, float(ended), int(status), path, completion == "OK")
