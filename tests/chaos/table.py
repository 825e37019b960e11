"""What is printed at the end."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from .evidence import Story


def rerun_gaps(story: Story) -> dict[str, list[float]]:
    """By fault, how long a task that was running when it hit waited for its next try.

    Only where nothing else was broken meanwhile: a killed master or a full disk has its own time.
    """
    others = [h for h in story.hits if h.kind.startswith(("kill master", "full disk"))]
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


def bound(story: Story) -> tuple[int, int, int]:
    """Tasks that ran, tries that a fault may have cost, tries that failed on purpose."""
    tries = [e for found in story.by_task.values() for e in found]
    hit = sum(1 for e in tries if e.hits and e.how != "F")
    return len(story.by_task), hit, sum(e.how == "F" for e in tries)


def lines(story: Story, faults: Counter[str], refused: int) -> Iterator[str]:
    """The table."""
    again, gaps = reruns(story), rerun_gaps(story)
    kinds = [*faults, *(k for k in again if k not in faults)]
    yield f"{'fault':<34}{'times':>7}{'re-runs':>9}{'longest gap':>13}{'99 %':>9}"
    for kind in sorted(kinds, key=str.strip):
        found = gaps.get(kind, [])
        longest = f"{found[-1]:.2f} s" if found else ""
        most = f"{percentile(found, 0.99):.2f} s" if found else ""
        yield f"{kind:<34}{faults[kind] or '':>7}{again[kind] or '':>9}{longest:>13}{most:>9}"
    tasks, hit, failed = bound(story)
    rows = [row for run in story.runs for row in run.rows]
    states = Counter(row["state"] for row in [*rows, *story.queue_rows])
    yield ""
    yield f"runs {len(story.runs)}, tasks {sum(len(r.expected) for r in story.runs):,}"
    yield f"done {states['done']:,}, dead letters {states['dead']:,}"
    yield (
        f"executions {len(story.executions):,}"
        f" <= {tasks:,} tasks run + {hit:,} hit by faults + {failed:,} failed on purpose"
        f" = {tasks + hit + failed:,}"
    )
    yield f"outcomes of old leases refused {refused:,}"
    yield f"longest wait of a ready process {max((s for _, s in story.lags), default=0.0):.2f} s"
