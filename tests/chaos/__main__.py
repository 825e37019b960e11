"""`python -m tests.chaos --seconds 60 --seed 1`, or `--kills 200 --tasks 50000`."""

from __future__ import annotations

import argparse
import signal
import sys

from .driver import run_chaos
from .verdict.evidence import Story
from .verdict.table import again, percentile, rerun_gaps

RERUN_S = 1.0
SAMPLES, MANY_KILLS = 10, 100
"""So many re-runs must have been measured where there were so many kills."""


def quick_reruns(story: Story, kills: int) -> list[str]:
    """Whether 99 % of the tasks of killed workers ran again within a second."""
    gaps = rerun_gaps(story).get("kill worker", [])
    late = percentile(gaps, 0.99)
    if kills >= MANY_KILLS and len(gaps) < SAMPLES:
        return [f"{kills} kills, and only {len(gaps)} re-runs after kill -9 of a worker to measure"]
    if late > RERUN_S:
        return [f"99 % of {len(gaps)} re-runs after kill -9 of a worker came within {late:.2f} s"]
    return []


def few_reruns(story: Story) -> list[str]:
    """Whether nothing ran again but what was cut off or had just ended when something was killed.

    Nobody is away here, and no task fails on purpose.
    """
    more, found = len(story.executions) - len(story.by_task), again(story)
    if more > found.cut + found.recent:
        return [f"{more} re-runs, and only {found.cut} cut off and {found.recent} just ended"]
    return []


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long faults go on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, help="so many SIGKILLs and nothing else")
    parser.add_argument("--tasks", type=int, default=50_000, help="with --kills")
    parser.add_argument("--drain", type=float, default=90.0, help="most time to drain afterwards")
    parser.add_argument("--old", action="store_true", help="a master's death ends all leases")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and everything that runs is ended
    if given.kills:
        fine, text = run_chaos(
            given.seed,
            lambda chaos: chaos.run_kills(given.kills, given.tasks),
            f"python -m tests.chaos --kills {given.kills} --tasks {given.tasks}"
            f" --seed {given.seed}",
            drain_s=given.drain,
            old=given.old,
            after=lambda story: [*quick_reruns(story, given.kills), *few_reruns(story)],
        )
    else:
        fine, text = run_chaos(
            given.seed,
            lambda chaos: chaos.run_for(given.seconds),
            f"make chaos SECONDS={given.seconds:g} SEED={given.seed}",
            drain_s=given.drain,
            old=given.old,
        )
    print(text)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
