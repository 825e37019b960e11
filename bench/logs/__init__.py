"""Logs counted by one process: what a slot does, awk with the same lists, and GoAccess.

Each counts requests and bytes by status, path, client and hour. A gigabyte is 10**9 bytes of lines.
awk does not look at odd lines: it takes words by their places, which these lines allow. GoAccess
has a row where it is installed; `make bench-peers` does that.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

from ..brief import sized
from ..figure import Figure, ratio
from ..peers.environment import MissingError
from ..rig import processes
from . import goaccess, made
from .made import MEMORY

LINES, TIMES = sized(600_000, 5000), sized(5, 1)
"""So many different lines, so many times one after the other: 0.55 GB."""

GOACCESS = "GoAccess, plain"
ROUNDS = sized(3, 1)
LEAST_FASTER = 5.0
_FREQUENT = 1000 * TIMES

AWK = r"""
{ hour = substr($4, 2, 14); n++; sum += $10
  status[$9]++; statusb[$9] += $10; path[$7]++; pathb[$7] += $10
  client[$1]++; clientb[$1] += $10; hours[hour]++; hoursb[hour] += $10 }
END { for (key in status) print "status", key, status[key]
  for (key in path) print "path", key, path[key]
  for (key in client) print "client", key, client[key]; printf "lines x %d\n", n }
"""


def measure() -> list[Figure]:
    """Measure in turns. Raises RuntimeError where the counts are not the same."""
    with processes.scratch() as folder:
        plain, packed = folder / "access.log", folder / "access.log.gz"
        made.write(plain, LINES, TIMES)
        with gzip.open(packed, "wb", 1) as file:
            file.write(plain.read_bytes())
        gigabytes = plain.stat().st_size / 1e9
        words = {
            "a slot, plain": [sys.executable, "-m", "bench.logs.ours", str(plain)],
            "a slot, gzip": [sys.executable, "-m", "bench.logs.ours", str(packed)],
            "awk, plain": ["sh", "-c", 'awk "$0" "$1"', AWK, str(plain)],
            "zcat | awk": ["sh", "-c", 'zcat "$1" | awk "$0"', AWK, str(packed)],
        }
        try:
            words[GOACCESS] = goaccess.words(plain)
        except MissingError as error:
            print(f"{GOACCESS}: {error}")
        seconds: dict[str, list[float]] = {name: [] for name in words}
        memory: list[float] = []
        for _ in range(ROUNDS):
            found = {}
            for name, command in words.items():
                output, used = _run(command)
                seconds[name].append(used / gigabytes)
                found[name] = goaccess.counts(output) if name == GOACCESS else _counts(output)
            memory.append(found["a slot, plain"][MEMORY] / 1e6)
            _compare(found["awk, plain"], *found.values())
    figures = {
        name: Figure(f"{name}: CPU of a GB", "s", tuple(rounds)) for name, rounds in seconds.items()
    }
    theirs, ours = figures["zcat | awk"], figures["a slot, plain"]
    return [
        *figures.values(),
        Figure("a slot, plain: memory", "MB", tuple(memory)),
        ratio("zcat | awk / a slot, plain", theirs, ours, at_least=LEAST_FASTER),
        ratio("awk / a slot, plain", figures["awk, plain"], ours),
        *(
            ratio(f"{name} / a slot, plain", figures[name], ours)
            for name in figures
            if name == GOACCESS
        ),
    ]


def _run(words: list[str]) -> tuple[str, float]:
    """What a program prints, and its CPU with that of its children in s."""
    with subprocess.Popen(
        words,
        cwd=processes.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{words[:3]} has ended with {process.returncode}")
    return output, usage.ru_utime + usage.ru_stime


def _compare(expected: dict[str, int], *others: dict[str, int]) -> None:
    """Compare all counts of frequent values. A slot leaves out rare ones: docs/logs.md."""
    frequent = {key: count for key, count in expected.items() if count >= _FREQUENT}
    for other in others:
        if any(other.get(key) != count for key, count in frequent.items()):
            raise RuntimeError("the counts are not those of awk")


def _counts(output: str) -> dict[str, int]:
    """Counts by list and value. Ours prints JSON."""
    if output.startswith("{"):
        return dict(json.loads(output))
    rows = (line.split(" ") for line in output.splitlines())
    return {f"{name} {value}": int(count) for name, value, count in rows}
