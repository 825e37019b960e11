"""`python -m bench.peers [NAME ...]`: measure peers in turns, print two tables, keep both as files.

The rows take turns, ROUNDS times. The faults follow, a few stations at a time: their tasks sleep.
A row that cannot be measured says why. The exit code is 1 where that is another reason than a
program that this machine lacks.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from .. import machine
from ..brief import BRIEF, sized
from ..rig import kernel, processes
from . import catalogue, environment, faults, servers, speed, station
from .catalogue import Peer
from .environment import MissingError
from .figures import Fate, Faults, Speed, fault_table, speed_table

ROUNDS = sized(2, 1)
AT_ONCE = 8
"""Stations of the faults that run side by side."""
_REASON_CHARACTERS = 160


class Row:
    """A peer, its Python, and what was found."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.speed = Speed(peer.name, durable=peer.durable)
        self.faults = Faults(peer.name)
        self.broken = False
        self.python = Path(sys.executable)
        try:
            servers.check(peer.broker)
            if peer.lock:
                self.python = environment.python_of(peer.lock, peer.least_python)
            if peer.package:
                self.speed.version = environment.version_of(self.python, peer.package)
        except MissingError as error:
            self.speed.missing = str(error)

    def leave_out_open(self) -> None:
        """Without a network of our own, nothing that listens on all addresses is started."""
        if self.peer.everywhere and not self.speed.missing:
            self.speed.missing = "not measured: listens on all addresses; start this as root"

    def measure(self) -> None:
        """One round. A row that cannot go on has its reason for the table."""
        if self.speed.missing:
            return
        try:
            with processes.scratch() as folder:
                speed.measure(self.peer, self.python, folder, self.speed)
        except Exception as error:
            self.broken = True
            self.speed.missing = f"failed: {_line(error)}"
        print(f"  {self.peer.name}: {self.speed.missing or 'measured'}", flush=True)

    def suffer(self, what: str, fault: Callable[[Peer, Path, Path], Fate]) -> None:
        """One fault."""
        found: Fate | str
        try:
            with processes.scratch() as folder:
                found = fault(self.peer, self.python, folder)
        except Exception as error:
            self.broken = True
            found = f"failed: {_line(error)}"
        setattr(self.faults, what, found)
        print(f"  {self.peer.name}, {what} killed: {found}", flush=True)


def main(names: list[str]) -> int:
    """Measure all rows, or those of the named peers; 2 if a name is unknown."""
    try:
        peers = catalogue.named(names)
    except KeyError as error:
        known = sorted({peer.key for peer in catalogue.PEERS})
        print(f"no peer {error}: there is {', '.join(known)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with us
    if BRIEF and not names:
        peers = [peer for peer in peers if peer.brief]
    began = time.monotonic()
    described = machine.describe()
    rows = [Row(peer) for peer in peers]
    if not kernel.isolate():  # from here on nothing that a peer opens can be reached from outside
        for row in rows:
            row.leave_out_open()
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}", flush=True)
        for row in rows:
            row.measure()
    _all_faults([row for row in rows if not row.speed.missing and not row.peer.shell_only])
    _write(described, rows, time.monotonic() - began)
    return int(any(row.broken for row in rows))


def _all_faults(rows: list[Row]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = []
        for row in rows:
            running.append(pool.submit(row.suffer, "worker", faults.worker))
            if row.peer.broker:
                running.append(pool.submit(row.suffer, "broker", faults.broker))
            else:
                row.faults.broker = row.peer.second
        try:
            wait(running)
        except BaseException:  # Ctrl-C: what waits does not begin, what runs is cut short
            pool.shutdown(wait=False, cancel_futures=True)
            faults.stopping.set()
            station.end_all()
            raise


def _write(described: dict[str, str], rows: list[Row], took_s: float) -> None:
    """Both tables to standard output and to .cache/bench/peers.md, everything to peers.json."""
    suffered = [row.faults for row in rows if not row.speed.missing and not row.peer.shell_only]
    lines = [
        *(f"- {what}: {text}" for what, text in described.items()),
        f"- rounds: {ROUNDS}, in turns; {took_s / 60:.0f} min in all",
        "",
        *speed_table([row.speed for row in rows]),
        "",
        *fault_table(suffered),
    ]
    text = "\n".join(lines) + "\n"
    print(f"\n{text}")
    stem = "peers-brief" if BRIEF else "peers"
    processes.CACHE.mkdir(parents=True, exist_ok=True)
    (processes.CACHE / f"{stem}.md").write_text(text)
    record = {
        "at": time.time(),
        "machine": described,
        "speed": [dataclasses.asdict(row.speed) for row in rows],
        "faults": [dataclasses.asdict(found) for found in suffered],
    }
    found = processes.CACHE / f"{stem}.json"
    found.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(f"also in {found.with_suffix('.md')} and {found.name}")


def _line(error: Exception) -> str:
    """The last line of an error's text, short enough for a cell."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1].replace("|", "/")[:_REASON_CHARACTERS]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
