"""How long tasks of a job take, as its runs have shown: a new run begins with what is known.

Without it the first lease of each run has one task, and many short runs are nothing but first
leases.
"""

from __future__ import annotations

from collections import OrderedDict

from ..runs.run import AIM_S, Run

FIRST_TASKS = 128
"""The first lease of a run has at most that many tasks: another run's tasks may be shorter."""

_KEPT = 1_024
_FADES = 0.9


class JobPaces:
    """Seconds a task, by job and version, of the jobs whose tasks ended last.

    Runs of one job may differ by their arguments, so a slow run counts at once, and a quick one
    bit by bit.
    """

    def __init__(self) -> None:
        self._paces: OrderedDict[tuple[str, str], float] = OrderedDict()

    def learn(self, run: Run) -> None:
        """Note the pace of a run that has just learned it."""
        if run.pace_s is None:
            return
        key = run.job, run.version
        known = self._paces.get(key, 0.0)
        self._paces[key] = max(run.pace_s, _FADES * known + (1 - _FADES) * run.pace_s)
        self._paces.move_to_end(key)
        if len(self._paces) > _KEPT:
            self._paces.popitem(last=False)

    def of(self, run: Run) -> float | None:
        """How long a task of a run probably takes, in seconds; None: nothing is known."""
        if run.pace_s is not None:
            return run.pace_s
        return self._paces.get((run.job, run.version))

    def begin(self, run: Run) -> None:
        """Have a run that knows no pace of its own begin with leases as large as its job's."""
        if run.pace_s is None and run.size == 1:
            pace_s = self._paces.get((run.job, run.version))
            if pace_s is not None:
                most = AIM_S / pace_s if pace_s else FIRST_TASKS
                run.size = max(1, min(int(most), FIRST_TASKS))
