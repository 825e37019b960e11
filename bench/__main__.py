"""`python -m bench [NAME ...]`: measure, print the table, and write .cache/bench/results.json.

A named benchmark replaces its own figures there; those of the others stay.

If a benchmark cannot run, its name is printed at the end, the others run, and the exit code is 1.
"""

from __future__ import annotations

import dataclasses
import signal
import sys
import time
import traceback
from collections.abc import Callable

from . import crawling, logs, machine, results
from .brief import BRIEF
from .figure import Figure, table
from .logs import workers
from .postgres import bloat, latency, takeover
from .postgres import throughput as postgres
from .rig.processes import CACHE, RESULTS
from .scale import decades, delayed, growth, looking, many, reconnect, rerun, sessions
from .speed import (
    client,
    encryption,
    executor,
    idle,
    keys,
    limits,
    listing,
    mail,
    messages,
    pace,
    page,
    percentiles,
    shell,
    singles,
    start,
    throughput,
)

BENCHMARKS: dict[str, tuple[str, Callable[[], list[Figure]]]] = {
    "throughput": ("Durable throughput: submit, work, result on disk, collect", throughput.measure),
    "postgres": ("Durable throughput on PostgreSQL, beside SQLite and others", postgres.measure),
    "postgres-latency": ("One idle task on PostgreSQL, submit to result", latency.measure),
    "postgres-bloat": ("Ten million tasks on PostgreSQL, a snapshot held", bloat.measure),
    "takeover": ("A standby master takes over", takeover.measure),
    "page": ("Durable throughput, with the pages open and without", page.measure),
    "idle": ("One idle task, submit to result", idle.measure),
    "percentiles": ("Submit to result at a steady rate", percentiles.measure),
    "client": ("A map of a program's", client.measure),
    "start": ("From a command to the first result", start.measure),
    "sessions": ("A thousand sessions", sessions.measure),
    "messages": ("A message over 16 KiB", messages.measure),
    "encryption": ("Durable throughput, encrypted and in clear", encryption.measure),
    "growth": ("A million tasks, waiting or done", growth.measure),
    "decades": ("Tasks, runs and workers by decades", decades.measure),
    "many": ("A million groups, ten million results, 100,000 ended runs", many.measure),
    "looking": ("Pages over 100,000 runs, a million failures, a month", looking.measure),
    "executor": ("Single submits of executors", executor.measure),
    "shell": ("A command of the shell for each line", shell.measure),
    "listing": ("The results of a million tasks", listing.measure),
    "keys": ("A million tasks with keys, and follow-ups", keys.measure),
    "delayed": ("A million tasks that are due in an hour", delayed.measure),
    "singles": ("Tasks that come one by one", singles.measure),
    "mail": ("Mail to a server that answers at once", mail.measure),
    "pace": ("The pace of one group", pace.measure),
    "limits": ("One task at a time in each of many groups", limits.measure),
    "crawling": ("A real site: every page and every image", crawling.measure),
    "logs": ("Logs counted by one process, and by awk", logs.measure),
    "logs-workers": ("Logs counted by one worker and by eight", workers.measure),
    "reconnect": ("A worker comes back with 20,000 leases", reconnect.measure),
    "rerun": ("Workers killed and frozen", rerun.measure),
}


def main(names: list[str]) -> int:
    """Run all benchmarks, or the named ones.

    The exit code is 2 if a name is unknown, and 1 if a benchmark can't run.
    """
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {unknown[0]!r}: there is {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # and `with` blocks end what was started
    described = machine.describe()
    for what, text in described.items():
        print(f"{what}: {text}")
    found: dict[str, results.Measured] = {}
    broken: list[str] = []
    for name in names or BENCHMARKS:
        try:
            figures = [figure.record() for figure in _measured(name)]
            found[name] = results.measured(described, figures)
        except Exception:
            traceback.print_exc()
            broken.append(name)
    path = CACHE / RESULTS
    results.keep(path, found)
    missed = sum(figure["met"] is False for each in found.values() for figure in each["figures"])
    judged = "a brief look checks no bound" if BRIEF else f"{missed} bound(s) not met"
    print(f"\n{judged}; all figures in {path}")
    if broken:
        print(f"could not run: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def _measured(name: str) -> list[Figure]:
    title, measure = BENCHMARKS[name]
    print(f"\n{title} ({name})", flush=True)
    began = time.monotonic()
    figures = measure()
    if BRIEF:
        figures = [dataclasses.replace(figure, at_least=None, at_most=None) for figure in figures]
    print("\n".join(table(figures)))
    print(f"  (took {time.monotonic() - began:.0f} s)", flush=True)
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
