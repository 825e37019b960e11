"""Seconds until another master is the active one: `python -m tests.integration.takeovers`.

Kills, freezes and stops the active one of two masters, so many times each (`ROUNDS`, 5), with a
worker at work. Prints seconds until the other one answers a client, and until it has recorded a new
result. Nothing else should run on the machine.
"""

from __future__ import annotations

import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.integration.processes import eventually
from tests.integration.two_masters import Scene
from tests.postgres_server import running_server

NUMBERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)


def measure(scene: Scene, rounds: int) -> dict[signal.Signals, list[tuple[float, float]]]:
    """The seconds of each round, by signal."""
    found: dict[signal.Signals, list[tuple[float, float]]] = {number: [] for number in NUMBERS}
    scene.start("a", "b")
    scene.worker(0)
    old, new = scene.peers
    run = old.submit("noted", f"count={rounds * 3 * 1000}", "seconds=0.02")
    for turn in range(rounds * len(NUMBERS)):
        number = NUMBERS[turn % len(NUMBERS)]
        done = old.run_status(run).done
        eventually(lambda old=old, done=done: old.run_status(run).done > done + 20)  # type: ignore[misc]
        time.sleep(turn * 0.37 % 1.0)  # a freeze comes at any time after a beat
        print(f"{number.name} of {old.name}, {done} done", flush=True)
        before, since = old.run_status(run).done, time.monotonic()
        old.process.popen.send_signal(number)
        found[number].append(scene.takes_over(new, run, before + 20, since))
        if number is signal.SIGSTOP:
            old.process.popen.send_signal(signal.SIGCONT)
        else:
            old.process.wait()
            old.begin()
        scene.known(2)
        old, new = new, old
    starts = [n for n, _ in scene.starts()]
    print(f"{len(starts):,} starts of {len(set(starts)):,} tasks")
    return found


def main(rounds: int) -> None:
    """Measure and print."""
    started: list[Any] = []
    with tempfile.TemporaryDirectory() as folder, running_server(fsync="on") as server:
        scene = Scene(Path(folder), server, started)
        try:
            found = measure(scene, rounds)
        except AssertionError:
            print(scene.sessions(), *(process.log for process in started), sep="\n==\n")
            raise
        finally:
            for process in reversed(started):
                process.popen.send_signal(signal.SIGCONT)
                process.end()
    print("what happens   answers, median/most    records, median/most")
    for number, times in found.items():
        answers, records = ([one[part] for one in times] for part in (0, 1))
        words = [f"{statistics.median(s):.2f} / {max(s):.2f} s" for s in (answers, records)]
        print(f"{number.name:<14} {words[0]:<23} {words[1]}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
