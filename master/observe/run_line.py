"""What a run has done, in one line: for the log, and for the commands that wait for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queue_manager.wire.records import RunStatus

if TYPE_CHECKING:  # a command needs no broker
    from ..broker.runs.run import Run


def ended_line(number: int, run: Run | RunStatus) -> str:
    """What a run has done. Commands that wait for a run end with this line."""
    head = f"run {number} ({run.job})"
    if run.state == "pruned":
        return f"{head} was done before, its results were pruned (QUEUE_KEEP_DAYS)"
    took = "" if run.ended_at is None else f" in {max(0.0, run.ended_at - run.started_at):.1f} s"
    done = "1 task done" if run.done == 1 else f"{run.done:,} tasks done"
    counts = f"{done}, {run.dead:,} dead letter{'s' * (run.dead != 1)}"
    if run.state == "cancelled" or run.cancelled:
        counts += f", {run.cancelled:,} cancelled"
    stalled = " is stalled" * (run.state == "stalled")
    return f"{head}{stalled}: {counts}{took}"


def errors_line(run: RunStatus) -> str:
    """How often the job's functions in the runner have raised. Empty if they have not."""
    if not run.collect_errors:
        return ""
    times = f"{run.collect_errors:,} time{'s' * (run.collect_errors != 1)}"
    return f"collect(), report() or finish() raised {times}: see the master's log"
