"""Many worker sessions without slots behind them, in a few processes of their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from . import processes

PROCESSES = 4


@contextlib.contextmanager
def connected(port: int, sessions: int, slots: int = 1) -> Iterator[float]:
    """All sessions, and the seconds that it took until the last one was welcomed.

    slots: how many each of them says that it has.
    """
    parts = min(PROCESSES, sessions)
    shares = [sessions // parts + (n < sessions % parts) for n in range(parts)]
    pipe = subprocess.PIPE
    clients = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.rig.load", str(port), str(share), str(slots)],
            cwd=processes.ROOT,
            stdin=pipe,
            stdout=pipe,
            text=True,
        )
        for share in shares
    ]
    try:
        _expect(clients, "ready")
        began = time.monotonic()
        for client in clients:
            assert client.stdin is not None
            client.stdin.write("go\n")
            client.stdin.flush()
        _expect(clients, "up")
        yield time.monotonic() - began
    finally:
        for client in clients:
            client.communicate(timeout=30)


def _expect(clients: list[subprocess.Popen[str]], word: str) -> None:
    for client in clients:
        assert client.stdout is not None
        line = client.stdout.readline()
        if not line.startswith(word):
            raise RuntimeError(f"a load process said {line!r} instead of {word!r}")
