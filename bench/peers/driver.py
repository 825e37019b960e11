"""`python -m bench.peers.driver MODULE`: the program that submits and collects, for any peer.

Runs in the peer's environment. It reads a JSON object a line from standard input, does what it says
with the `Client` of that module, and answers with one on standard output. Knows no peer by name.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from . import work as works
from .offered import offered

PAUSE_S = 0.005
_POLL_S = 0.02
_READY_S = 90.0


class Client(Protocol):
    """What an adapter's `Client()` has. A peer without a bulk API has no `in_bulk`."""

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        """Submit each with a call of its own. Returns a handle a payload."""

    def collect(self, handles: list[Any]) -> list[Any]:
        """Wait for all. Returns their results, in order."""

    def peek(self, handle: Any) -> Any:
        """The result, or None when it is not there yet. May raise while the broker is away."""

    def close(self) -> None:
        """End what this client has started."""


def ready(client: Client, workers: int) -> list[str]:
    """Submit until so many workers have answered. Returns their names."""
    found: set[str] = set()
    end = time.monotonic() + _READY_S
    while len(found) < workers:
        if time.monotonic() > end:
            raise TimeoutError(f"{len(found)} of {workers} workers")
        found |= set(client.collect(client.one_by_one("whoami", [0, 0, 0, 0])))
    return sorted(found)


def burst(client: Client, work: str, count: int, bulk: bool) -> float | None:
    """Submit so many, collect and check all. Returns the seconds, None without a bulk API."""
    submit = getattr(client, "in_bulk", None) if bulk else client.one_by_one
    if submit is None:
        return None
    payloads = works.payloads(work, count)
    expected = works.results(work, payloads)
    began = time.perf_counter()
    found = client.collect(submit(work, payloads))
    took_s = time.perf_counter() - began
    if found != expected:
        raise RuntimeError(f"{work}: wrong results")
    return took_s


def parts(client: Any, work: str, count: int) -> tuple[float, float]:
    """As `burst` in bulk. Returns the seconds of the submits alone, and of all."""
    payloads = works.payloads(work, count)
    expected = works.results(work, payloads)
    began = time.perf_counter()
    handles = client.in_bulk(work, payloads)
    submit_s = time.perf_counter() - began
    found = client.collect(handles)
    if found != expected:
        raise RuntimeError(f"{work}: wrong results")
    return submit_s, time.perf_counter() - began


def trips(client: Client, count: int, most_s: float) -> list[float]:
    """The seconds of one task after another, submit to result, with a pause before each.

    Fewer than `count` where they take longer than most_s together.
    """
    took_s: list[float] = []
    for n in range(count):
        time.sleep(PAUSE_S)
        began = time.perf_counter()
        found = client.collect(client.one_by_one("square", [n]))
        took_s.append(time.perf_counter() - began)
        if found != [n * n]:
            raise RuntimeError("another task's result")
        if sum(took_s) > most_s:
            break
    return took_s


def fault(client: Client, count: int, notes: str, got: str) -> int:
    """Submit so many naps, and write the number of each result that comes to the file `got`.

    Goes on until all are there: the caller ends this process when its time is over.
    """
    submit = getattr(client, "in_bulk", client.one_by_one)
    pending = dict(enumerate(submit("noted", [[n, notes] for n in range(count)])))
    with open(got, "w", buffering=1) as file:
        file.write("submitted\n")
        while pending:
            for n, handle in list(pending.items()):
                found = _peeked(client, handle)
                if found == n and found is not None:
                    file.write(f"{n}\n")
                    del pending[n]
            time.sleep(_POLL_S)
    return count


def _peeked(client: Client, handle: Any) -> Any:
    try:
        return client.peek(handle)
    except Exception as error:  # the broker is away, or the task has failed: ask again
        print(f"peek: {type(error).__name__}: {error}"[:200], file=sys.stderr)
        time.sleep(_POLL_S)
        return None


COMMANDS: dict[str, Callable[..., Any]] = {
    "ready": ready,
    "burst": burst,
    "parts": parts,
    "trips": trips,
    "fault": fault,
    "offered": offered,
}


def main(module: str, answers: TextIO) -> None:
    """Serve until standard input ends."""
    client: Client = importlib.import_module(module).Client()
    try:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = {"answer": COMMANDS[request.pop("do")](client, **request)}
            except Exception as error:
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        client.close()


if __name__ == "__main__":
    # What a peer prints goes to the log: only answers may be on the pipe.
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(sys.argv[1], pipe)
