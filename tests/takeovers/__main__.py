"""`python -m tests.takeovers --faults 100 --tasks 50000 --seed 1`: make takeovers. Needs root."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .driver import Driver
from .ground import Ground
from .net import Net
from .table import late, table, wrong


def main() -> int:
    """Returns the exit code: 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.takeovers", description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slack", type=float, default=0.0, help="seconds for a busy machine")
    parser.add_argument("--seconds", type=float, default=3600.0, help="faults go on no longer")
    parser.add_argument("--keep", type=Path, help="an empty folder for the logs")
    given = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("only root can make hosts out of network namespaces")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and everything that runs is ended
    began = time.monotonic()
    with _folder(given.keep) as name, Net() as net:
        ground = Ground(name, net)
        try:
            driver = Driver(ground, given.seed, given.faults, given.tasks)
            driver.most_s = given.seconds
            ground.set_up()
            driver.play()
            troubles = _report(driver, ground, given.tasks, given.slack)
        finally:
            ground.end()
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{time.monotonic() - began:.0f} s, load {load}, seed {given.seed}")
    print("\n".join(f"WRONG: {line}" for line in troubles) or "All promises are kept.")
    return 1 if troubles else 0


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _report(driver: Driver, ground: Ground, tasks: int, slack_s: float) -> list[str]:
    """Print what was measured; returns what is wrong."""
    ended = ground.client.command("results", str(driver.run))
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in ended.out.splitlines()]
    starts = Counter(ground.begun())
    print(table(driver.seen))
    print(f"{len(rows):,} results; {starts.total():,} starts of {len(starts):,} tasks")
    for why, times in driver.reasons.most_common():
        print(f"{times:>4} old masters gave up: {why}")
    return [
        *wrong(rows, driver.record.recorded(driver.run), tasks),
        *late(driver.seen, slack_s),
        *driver.troubles,
    ]


if __name__ == "__main__":
    sys.exit(main())
