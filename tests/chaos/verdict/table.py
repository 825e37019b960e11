"""What is printed at the end."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .evidence import Story


def rerun_gaps(story: Story) -> dict[str, list[float]]:
    """By fault, how long a task that was running when it hit waited for its next try.

    Only where nothing else was broken meanwhile: a master that is killed or stopped, or a full
    disk, has its own time.
    """
    broken = ("kill master", "stop master", "full disk")
    others = [h for h in story.hits if h.kind.startswith(broken)]
    gaps: dict[str, list[float]] = {}
    for tries in story.by_task.values():
        for one, other in itertools.pairwise(tries):
            if one.how == "F" or not one.hits:
                continue
            hit = next((h for h in one.hits if h.end >= one.start), one.hits[0])
            if one.how and not hit.kills:  # it ended: who knows when its outcome was given up
                continue
            begin = max(hit.begin, one.start)
            if hit.since:  # a master that came back waits for the workers that it knew
                continue
            if any(h is not hit and h.begin <= other.start and h.end >= begin for h in others):
                continue
            gaps.setdefault(hit.kind, []).append(other.start - begin)
    return {kind: sorted(found) for kind, found in gaps.items()}


def percentile(values: list[float], share: float) -> float:
    """The value that this share of sorted values does not exceed."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def reruns(story: Story) -> Counter[str]:
    """Tries after the first of each task, by what hit the try before."""
    found: Counter[str] = Counter()
    for tries in story.by_task.values():
        for one, other in itertools.pairwise(tries):
            hits = one.hits or other.hits  # of the other: it was held by a worker that was away
            if one.how == "F":
                found["failed on purpose"] += 1
            else:
                found[hits[-1].kind if hits else "without a reason"] += 1
    return found


@dataclass
class Again:
    """How many tries came after one of the same task, by what had become of that one.

    cut: it was running when a fault hit. recent: it had ended so shortly before the fault that
    its outcome was lost. failed: on purpose. away: a worker that had lost the lease started it
    nevertheless. other: nothing that is known explains it. leases: in how many leases `cut` and
    `recent` were at least; the diary knows slots and runs, and a slot may have had two of one run.
    """

    cut: int = 0
    recent: int = 0
    failed: int = 0
    away: int = 0
    other: int = 0
    leases: int = 0

    @property
    def excused(self) -> int:
        """Those that a fault or the task itself explains."""
        return self.cut + self.recent + self.failed + self.away


def again(story: Story) -> Again:
    """Count them."""
    found = Again()
    leases = set()
    for task, tries in story.by_task.items():
        for one, other in itertools.pairwise(tries):
            if one.how == "F":
                found.failed += 1
            elif one.hits:
                running = [hit for hit in one.hits if hit.begin <= one.over]
                found.cut += bool(running)
                found.recent += not running
                leases.add((one.slot, task[0], (running or one.hits)[0]))
            elif other.hits:
                found.away += 1
            else:
                found.other += 1
    found.leases = len(leases)
    return found


def kill_count(faults: Counter[str]) -> int:
    """How many SIGKILLs found somebody."""
    return sum(n for kind, n in faults.items() if kind.startswith("kill") and "(" not in kind)


def lines(story: Story, faults: Counter[str], refused: int) -> Iterator[str]:
    """The table."""
    by_fault, gaps = reruns(story), rerun_gaps(story)
    kinds = [*faults, *(k for k in by_fault if k not in faults)]
    yield f"{'fault':<34}{'times':>7}{'re-runs':>9}{'longest gap':>13}{'99 %':>9}"
    for kind in sorted(kinds, key=str.strip):
        found = gaps.get(kind, [])
        longest = f"{found[-1]:.2f} s" if found else ""
        most = f"{percentile(found, 0.99):.2f} s" if found else ""
        yield f"{kind:<34}{faults[kind] or '':>7}{by_fault[kind] or '':>9}{longest:>13}{most:>9}"
    tasks, found = len(story.by_task), again(story)
    rows = [row for run in story.runs for row in run.rows]
    states = Counter(row["state"] for row in [*rows, *story.queue_rows])
    yield ""
    yield f"runs {len(story.runs)}, tasks {sum(len(r.expected) for r in story.runs):,}"
    yield f"done {states['done']:,}, dead letters {states['dead']:,}"
    yield (
        f"executions {len(story.executions):,} <= {tasks:,} tasks run + {found.cut:,} cut off"
        f" + {found.recent:,} just ended + {found.failed:,} failed on purpose"
        f" + {found.away:,} by who was away = {tasks + found.excused:,}"
    )
    yield (
        f"re-runs {len(story.executions) - tasks:,} beside {kill_count(faults):,} kills:"
        f" {found.cut:,} tries were running when they were hit and {found.recent:,} had just ended,"
        f" in {found.leases:,} leases or more"
    )
    yield f"outcomes of old leases refused {refused:,}"
    yield f"longest wait of a ready process {max((s for _, s in story.lags), default=0.0):.2f} s"
