"""How long whole pages take over HTTP: the web process, the wire, the master and its store."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path

from master.web.link.recent import YOUNG_S

from ..brief import sized
from ..figure import Figure
from ..rig import processes

ROUNDS = sized(5, 1)
MOST_S = 0.2
_LIMIT_S = 30.0


def seen(web: Path, letters: int) -> list[Figure]:
    """Ask for each page some times. web: the folder with address and token. letters: of run 1."""
    processes.wait_until((web / "address").exists, "the address of the pages")
    port = int((web / "address").read_text().strip().rpartition(":")[2])
    token = (web / "read").read_text().strip()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT_S)
    with contextlib.closing(connection):
        headers = {"Authorization": f"Bearer {token}", "Cookie": _cookie(connection, token)}
        _look(connection, "/workers", headers)  # the first page loads templates
        return [
            Figure(
                f"HTTP: {name}",
                "s",
                tuple(_look(connection, path, headers) for _ in range(ROUNDS)),
                at_most=MOST_S,
            )
            for name, path in _paths(letters)
        ]


def _cookie(connection: http.client.HTTPConnection, token: str) -> str:
    connection.request("GET", f"/?token={token}")
    answer = connection.getresponse()
    answer.read()
    return (answer.getheader("Set-Cookie") or "").partition(";")[0]


def _paths(letters: int) -> Iterator[tuple[str, str]]:
    yield "the overview, a month", "/?span=month"
    yield "the newest runs", "/runs"
    yield "failed runs of one job", "/runs?state=failed&job=squares"
    yield "a run by a text in its arguments", "/runs?search=number%3D17+of"
    yield "a text that no run has", "/runs?search=nowhere"
    yield "a run, its month", "/runs/1?span=month"
    yield "groups of failures of all runs", "/failures"
    yield "groups of one run", "/runs/1/failures"
    rare = "error=KeyError%40a.py%3A7"
    yield "letters of one group in a thousand", f"/runs/1/failures?{rare}"
    yield "a dead letter", f"/runs/1/tasks/{letters}"
    yield "/metrics", "/metrics"
    yield "/api/runs", "/api/runs?limit=500"


def _look(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> float:
    """Seconds from the request to the last byte of the page."""
    time.sleep(1.1 * YOUNG_S)  # the web process keeps answers of the master so long
    began = time.monotonic()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    took_s = time.monotonic() - began
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}")
    return took_s
