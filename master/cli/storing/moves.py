"""What `migrate-store` does, and how it says it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ...backup.moving.move import is_database, move, raise_numbers, shown
from ..text.printing import check_output, say

__all__ = ["is_database", "migrate", "raised"]


def migrate(origin: str, destination: str, *, replace: bool) -> int:
    """Copy a store into another one. Returns the exit code."""
    check_output()
    with _bar() as show:
        moved = move(origin, destination, replace=replace, show=show)
    runs, tasks = f"{moved.runs:,} runs", f"{moved.tasks:,} tasks"
    rows = f"{moved.rows:,} rows, the same on both sides"
    say(f"copied {runs} with {tasks} into {shown(destination)}: {rows}")
    return 0


def raised(url: str) -> int:
    """Raise the numbers of a database that was restored. Returns the exit code."""
    check_output()
    raise_numbers(url)
    say("the numbers of runs go on 1,000 higher: none of the lost time is given twice")
    return 0


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each table. Gives what is told how far it is."""
    if not sys.stderr.isatty():
        yield lambda what, done, count: None
        return
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(what: str, done: int, count: int) -> None:
        if what not in bars:
            for other in bars.values():
                other.close()
            bars[what] = tqdm(total=count, desc=what, unit=" rows", unit_scale=True, leave=False)
        bars[what].total = count
        bars[what].update(done - bars[what].n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
