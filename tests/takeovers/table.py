"""What was measured, as a table, and what is wrong with it."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .faults import FAULTS, Fault


@dataclass(frozen=True)
class Seen:
    """One fault: seconds from it until each step; None where nobody takes over.

    recorded: of a master that stays: from the end of the cut until other hosts begin a task.
    """

    fault: Fault
    taken: float | None
    committed: float | None
    recorded: float

    @property
    def line(self) -> str:
        """For people who watch."""
        words = [f"{self.fault.name:<26}"]
        if self.taken is not None and self.committed is not None:
            words += [f"taken over {self.taken:.2f} s", f"first commit {self.committed:.2f} s"]
            words.append(f"first result {self.recorded:.2f} s")
        else:
            words.append(f"nobody takes over; other hosts at work {self.recorded:.2f} s after it")
        return "  ".join(words)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of them does not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def table(seen: list[Seen]) -> str:
    """Seconds from a fault to the new master's first commit, and to its first result."""
    head = ("median", "99 %", "worst")
    lines = [f"{'':<27}{'':>5}  {'first commit':<24}{'':>7}  first result"]
    lines.append(
        f"{'the active master is':<27}{'count':>5}"
        + "".join(f"{word:>8}" for word in head)
        + f"{'bound':>8}"
        + "".join(f"{word:>8}" for word in head)
    )
    for fault in FAULTS:
        of = [one for one in seen if one.fault is fault]
        if of:
            commits = _three([one.committed for one in of if one.committed is not None])
            bound = "-" if fault.bound_s is None else f"{fault.bound_s:.1f}"
            results = _three([one.recorded for one in of])
            lines.append(f"{fault.name:<27}{len(of):>5}{commits}{bound:>8}{results}")
    return "\n".join(lines)


def _three(values: list[float]) -> str:
    if not values:
        return f"{'-':>8}" * 3
    three = (statistics.median(values), percentile(values, 0.99), max(values))
    return "".join(f"{value:>8.2f}" for value in three)


def late(seen: list[Seen], slack_s: float) -> list[str]:
    """The kinds whose 99th percentile is above their bound, and a slack for a busy machine."""
    found = []
    for fault in FAULTS:
        of = [one.committed for one in seen if one.fault is fault and one.committed is not None]
        if of and fault.bound_s is not None and percentile(of, 0.99) > fault.bound_s + slack_s:
            found.append(
                f"{fault.name}: 99 % within {percentile(of, 0.99):.2f} s, not {fault.bound_s}"
            )
    return found


def wrong(rows: list[dict[str, Any]], recorded: int, tasks: int) -> list[str]:
    """What is wrong with the results: each input must be there once, done, with its own result."""
    found = []
    inputs = Counter(row["payload"] for row in rows)
    if lost := set(range(tasks)) - inputs.keys():
        found.append(f"{len(lost)} tasks are lost, such as {sorted(lost)[:5]}")
    if twice := [n for n, times in inputs.items() if times > 1]:
        found.append(f"{len(twice)} tasks are there twice, such as {twice[:5]}")
    if others := [
        r for r in rows if r["state"] != "done" or r["result"] != [r["payload"], r["payload"] ** 2]
    ]:
        found.append(f"{len(others)} tasks have no right result, such as {others[0]}")
    if recorded != tasks:
        found.append(f"{recorded} results are recorded of {tasks} tasks")
    return found
