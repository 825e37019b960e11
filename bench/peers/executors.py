"""`python -m bench.peers.executors COUNT ROUNDS [peers]`: single submits of four executors.

Prints one line of JSON: the seconds of each round by executor. The executors take turns. A program
of its own, because it isolates its network. Without `peers`, only those that need no environment.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from pathlib import Path

from ..rig import kernel, processes
from . import catalogue, environment
from .catalogue import Peer
from .environment import MissingError
from .station import WORKERS, Station

ALONE = "bench.peers.alone"
WARM_UP = 500
TRIES = 2
"""How often a round is tried."""


def main(count: int, rounds: int, with_peers: bool) -> None:
    """Measure and print."""
    peers = _peers(with_peers)
    found: dict[str, list[float]] = {name: [] for name in peers}
    pythons, missing = _installed(peers)
    isolated = kernel.isolate()  # behind it, no registry can be reached
    for _ in range(rounds):
        for name, peer in peers.items():
            if name in missing:
                continue
            try:
                if peer.everywhere and not isolated:
                    raise MissingError("listens on all addresses; start this as root")
                found[name].append(_tried(name, peer, pythons[name], count))
            except (MissingError, RuntimeError, OSError) as error:
                missing[name] = str(error)
    took_s = {name: taken for name, taken in found.items() if name not in missing}
    print(json.dumps({"took_s": took_s, "missing": missing}))


def _tried(name: str, peer: Peer, python: str, count: int) -> float:
    """A round. One that fails is tried again, and said.

    A round of Dask has ended in a CancelledError on a busy machine: its client cancels all of its
    futures when it loses the scheduler (`Client._reconnect`).
    """
    for _ in range(TRIES - 1):
        try:
            return _round(peer, python, count)
        except RuntimeError as error:
            print(f"{name}: {error}; once more", file=sys.stderr, flush=True)
    return _round(peer, python, count)


def _peers(with_peers: bool) -> dict[str, Peer]:
    known = {peer.key: peer for peer in catalogue.PEERS}
    pool = dataclasses.replace(known["pool"], module=f"{ALONE}.process_pool")
    found = {"ours": known["executor"], "ProcessPoolExecutor": pool}
    if with_peers:
        found["Dask"] = dataclasses.replace(known["dask"], module=f"{ALONE}.dask_executor")
        found["Ray"] = known["ray"]
    return found


def _installed(peers: dict[str, Peer]) -> tuple[dict[str, str], dict[str, str]]:
    """The Python of each executor, and why one has none."""
    pythons, missing = {}, {}
    for name, peer in peers.items():
        try:
            made = environment.python_of(peer.lock, peer.least_python) if peer.lock else None
            pythons[name] = str(made or sys.executable)
        except MissingError as error:
            missing[name] = str(error)
    return pythons, missing


def _round(peer: Peer, python: str, count: int) -> float:
    """The seconds of so many submits and their results, when all workers have begun."""
    with processes.scratch() as folder, Station(peer, Path(python), folder) as station:
        station.ask("ready", workers=WORKERS)
        station.ask("burst", work="square", count=WARM_UP, bulk=False)
        return float(station.ask("burst", work="square", count=count, bulk=False))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with us
    main(int(sys.argv[1]), int(sys.argv[2]), "peers" in sys.argv[3:])
