"""`python -m bench.peers.postgres ROUNDS`: queues in PostgreSQL at their best, and a held snapshot.

Prints one line of JSON, rates a second of each round by queue: of `enqueue` (the program submits in
bulk while two workers work), of `rate` (from the first submit until every result is read), and of
`held` (the same at the end of 20 s of such bursts, while another session holds a snapshot).
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import psycopg

from ..brief import sized
from ..rig import kernel, processes
from . import catalogue, environment, servers
from .catalogue import POSTGRES, Peer
from .environment import MissingError
from .station import WORKERS, Station

AT_ONCE = {"procrastinate": 10, "oban": 50, "awa": 100, "pgqueuer": 200}
"""Jobs at a time in each of two workers: the best in single runs with 10, 50, 100, 200 and 500."""
WARM_UP = 200
TARGET_S, HELD_S = sized((3.0, 20.0), (0.2, 0.5))


def main(rounds: int) -> None:
    """Measure in turns, and print."""
    peers = {peer.name: peer for peer in catalogue.PEERS if peer.broker == POSTGRES}
    found: dict[str, dict[str, list[float]]] = {}
    missing: dict[str, str] = {}
    pythons: dict[str, Path] = {}
    for name, peer in peers.items():
        try:
            servers.check(peer.broker)
            pythons[name] = environment.python_of(peer.lock, peer.least_python)
        except MissingError as error:
            missing[name] = str(error)
    kernel.isolate()  # behind it, no registry can be reached
    for _ in range(rounds):
        for name in [name for name in pythons if name not in missing]:
            try:
                for what, rate in _round(peers[name], pythons[name]).items():
                    found.setdefault(name, {}).setdefault(what, []).append(rate)
            except (RuntimeError, OSError, psycopg.Error) as error:
                missing[name] = str(error)
    whole = {name: rates for name, rates in found.items() if name not in missing}
    print(json.dumps({"found": whole, "missing": missing}))


def _round(peer: Peer, python: Path) -> dict[str, float]:
    at_once = AT_ONCE.get(peer.key, 10)
    with (
        processes.scratch() as folder,
        Station(peer, python, folder, at_once=at_once) as station,
    ):
        station.ask("ready", workers=WORKERS)
        count = WARM_UP
        while (taken := _burst(station, count))[1] < TARGET_S / 4:
            count *= 4
        count = max(WARM_UP, int(count / taken[1] * TARGET_S))
        submit_s, all_s = _burst(station, count)
        with psycopg.connect(station.url, autocommit=True) as holder:
            holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            holder.execute("SELECT count(*) FROM pg_class")
            end = time.monotonic() + HELD_S
            held_s = 0.0
            while time.monotonic() < end:
                held_s = _burst(station, count)[1]
        return {"enqueue": count / submit_s, "rate": count / all_s, "held": count / held_s}


def _burst(station: Station, count: int) -> tuple[float, float]:
    """Seconds of the submits, and until the last result."""
    submit_s, all_s = station.ask("parts", work="square", count=count)
    return submit_s, all_s


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with us
    main(int(sys.argv[1]))
