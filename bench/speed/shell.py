"""`true` for each of 10,000 lines: `qm shell`, `xargs -P2`, GNU Parallel and HyperQueue in turns.

Each has two places to run a command in. Only `qm shell` has every result on disk. GNU Parallel runs
if this machine has it, HyperQueue if its environment can be made and this is root: it listens on
all addresses, so its program has a network of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ..brief import BRIEF, sized
from ..figure import Figure, ratio
from ..peers.environment import MissingError, program, python_of
from ..rig import processes

LINES, ROUNDS = sized(10_000, 200), sized(5, 1)
PATIENCE_S = 300.0

Runner = Callable[[Path], None]


def measure() -> list[Figure]:
    """Measure all of them, round by round."""
    processes.compile_modules()
    with (
        processes.scratch() as folder,
        processes.master(folder, jobs=processes.ROOT / "jobs") as (_, port),
        processes.worker(folder, port, jobs=processes.ROOT / "jobs"),
    ):
        given = folder / "lines"
        given.write_text("".join(f"{n}\n" for n in range(LINES)))
        runners = _runners(folder, port)
        rates: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(ROUNDS):
            for name, run in runners.items():
                began = time.monotonic()
                run(given)
                rates[name].append(LINES / (time.monotonic() - began))
    found = {
        name: Figure(f"{name}, the command as a whole", "commands/s", tuple(rounds))
        for name, rounds in rates.items()
    }
    ours, xargs = found["qm shell true"], found["xargs -P2 -n1 true"]
    return [*found.values(), ratio("qm shell / xargs", ours, xargs, at_least=0.8)]


def _runners(folder: Path, port: int) -> dict[str, Runner]:
    """What runs the lines of a file, by its name. What this machine lacks is told, and left out."""
    found: dict[str, Runner] = {
        "qm shell true": lambda given: _ours(given, folder, port),
        "xargs -P2 -n1 true": lambda given: _ended(["xargs", "-P2", "-n1", "true"], given),
    }
    others: dict[str, Callable[[], list[str]]] = {
        "GNU Parallel, -j2": lambda: [program("parallel"), "-j2", "true"],
        "HyperQueue, two workers": lambda: _hyperqueue(folder),
    }
    for name, words_of in others.items():
        try:
            words = words_of()
            found[name] = lambda given, words=words: _ended(words, given)  # type: ignore[misc]
        except MissingError as error:
            print(f"{name}: {error}")
    return found


def _ours(given: Path, folder: Path, port: int) -> None:
    log = folder / "log.jsonl"
    settings = {"QUEUE_PORT": str(port), "QUEUE_HOST": "127.0.0.1"}
    with log.open("wb") as output:
        words = [sys.executable, "-m", "master", "shell", "true"]
        _ended(words, given, output.fileno(), processes.environment_of(settings))
    if log.read_bytes().count(b'"exit_code": 0') != LINES:
        raise RuntimeError(f"not all of the {LINES:,} commands have succeeded: {log}")


def _hyperqueue(folder: Path) -> list[str]:
    if BRIEF:
        raise MissingError("not in a brief look")
    if os.geteuid():
        raise MissingError("listens on all addresses; start this as root")
    return [str(python_of("hyperqueue")), "-m", "bench.peers.alone.hyperqueue_lines", str(folder)]


def _ended(
    words: list[str],
    given: Path,
    output: int = subprocess.DEVNULL,
    environment: dict[str, str] | None = None,
) -> None:
    """Run a program to its end. Raises RuntimeError with its complaint."""
    with given.open("rb") as lines:
        done = subprocess.run(
            words,
            stdin=lines,
            stdout=output,
            stderr=subprocess.PIPE,
            cwd=processes.ROOT,
            env=environment,
            timeout=PATIENCE_S,
        )
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {done.stderr.decode(errors='replace')[-1000:]}")
