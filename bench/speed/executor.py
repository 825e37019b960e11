"""Single submits of our executor and of others: 10,000 calls, each a submit, and their results.

The others are `ProcessPoolExecutor`, which keeps nothing, Dask's executor and Ray's tasks, with two
workers each, in the same run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from ..brief import BRIEF, sized
from ..figure import Figure, ratio
from ..rig import processes

CALLS, ROUNDS = sized(10_000, 500), sized(3, 1)
PATIENCE_S = 900.0


def measure() -> list[Figure]:
    """Measure all of them in turns, in a program with a network of its own."""
    words = [sys.executable, "-m", "bench.peers.executors", str(CALLS), str(ROUNDS)]
    out, said = _ended(words if BRIEF else [*words, "peers"])
    print(said, end="")
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    for name, why in told["missing"].items():
        print(f"{name}: {why}")
    if "ours" in told["missing"]:
        raise RuntimeError(told["missing"]["ours"])
    taken = {name: Figure(name, "s", tuple(rounds)) for name, rounds in told["took_s"].items()}
    pool = taken["ProcessPoolExecutor"]
    figures = [
        Figure(f"{CALLS:,} submits and results: {name}", "s", one.rounds)
        for name, one in taken.items()
    ]
    figures.append(ratio("ours / ProcessPoolExecutor", taken["ours"], pool, at_most=3))
    figures += [
        ratio(f"{name} / ours", taken[name], taken["ours"], at_least=5)
        for name in ("Dask", "Ray")
        if name in taken
    ]
    return figures


def _ended(words: list[str]) -> tuple[str, str]:
    """What the program has printed, to both streams.

    Raises RuntimeError with its complaint. One that takes too long ends what it has started.
    """
    environment = processes.environment_of({})
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, cwd=processes.ROOT, env=environment, stdout=pipe, stderr=pipe, text=True
    ) as program:
        try:
            out, said = program.communicate(timeout=PATIENCE_S)
        except BaseException:
            program.terminate()
            program.communicate()
            raise
    if program.returncode:
        raise RuntimeError(said)
    return out, said
