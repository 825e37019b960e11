"""`python -m tests.simulation --seed 7` replays one world and prints its story."""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

from .play import STEPS, engine_for
from .world import World


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, default=STEPS, help="before it heals and drains")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = World(given.seed, engine_for(given.seed, Path(folder)), print)
        try:
            world.play(given.steps)
        except Exception:
            traceback.print_exc()
            return 1
    print(f"seed {given.seed}: {world.steps} steps, all as it must be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
