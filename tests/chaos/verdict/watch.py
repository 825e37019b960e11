"""What the master says of itself while it goes on: counts of runs, refusals, idle slots."""

from __future__ import annotations

import json
from typing import Any

from ..ground.cluster import Cluster
from ..ground.processes import HERE, KEY

IDLE_S = 10.0
EVERY_S = 0.3
GAP_S = 3.0
"""After so long without an answer (the master is away, or stopped) nobody is known to be idle."""


class Watch:
    """Reads the answers that `watcher.py` prints."""

    def __init__(self, cluster: Cluster) -> None:
        script = str(HERE / "verdict" / "watcher.py")
        words = [script, str(cluster.front.port), KEY, str(EVERY_S)]
        self._program = cluster.ground.start("watch.log", *words)
        self._read = 0
        self.last: dict[str, Any] = {}
        self.refused = 0
        self.longest_idle_s = 0.0
        self.troubles: list[str] = []
        self._idle: dict[str, float] = {}

    def turn(self, disturbed: set[int]) -> None:
        """Take in what has come. disturbed: workers that need not be busy now."""
        lines = self._program.lines[self._read :]
        self._read += len(lines)
        for line in lines:
            if not line.startswith("{"):
                self.troubles.append(f"watcher: {line}")
                continue
            sample = json.loads(line)
            self._count_refused(sample)
            self._look_for_idle(sample, disturbed)
            self.last = sample

    def _count_refused(self, sample: dict[str, Any]) -> None:
        before = self.last.get("refused", 0)
        same = self.last and sample["up_s"] >= self.last["up_s"]
        self.refused += sample["refused"] - before if same else sample["refused"]

    def _look_for_idle(self, sample: dict[str, Any], disturbed: set[int]) -> None:
        """A worker that holds fewer tasks than it has slots, though tasks wait that may start.

        Each task that it holds can keep one slot busy: one slot at least has nothing.
        """
        waits = [run for run in sample["runs"] if runnable(run)]
        if sample["at"] - self.last.get("at", 0.0) > GAP_S:
            self._idle = {}
        idle: dict[str, float] = {}
        for session in sample["sessions"]:
            name = session["name"]
            if session["role"] != "worker" or session["held"] >= session["slots"] or not waits:
                continue
            if int(name.rsplit("/", 1)[-1]) not in disturbed:
                idle[name] = self._idle.get(name, sample["at"])
                self._tell_idle(session, sample["at"] - idle[name], waits)
                if sample["at"] - idle[name] > IDLE_S:
                    idle[name] = sample["at"]
        self._idle = idle

    def _tell_idle(self, session: dict[str, Any], idle_s: float, waits: list[Any]) -> None:
        self.longest_idle_s = max(self.longest_idle_s, idle_s)
        if idle_s > IDLE_S:
            tags = [(r["job"], r["waiting"]) for r in waits]
            held = f"{session['held']} tasks in {session['slots']} slots"
            self.troubles.append(
                f"{session['name']} was idle for {idle_s:.1f} s with {held} beside {tags}"
            )

    def row(self, tag: str) -> dict[str, Any]:
        """The counts of the run with this tag."""
        found = [r for r in self.last.get("runs", []) if f"tag={tag}" in r["args"]]
        return found[0] if len(found) == 1 else {}

    @property
    def doubles(self) -> list[str]:
        """Tags that have more than one run: a key that gave a second one."""
        tags = [w for r in self.last.get("runs", []) for w in r["args"] if w.startswith("tag=")]
        return sorted({tag for tag in tags if tags.count(tag) > 1})

    @property
    def active(self) -> set[str]:
        """Tags of the runs that have not ended."""
        return {
            word.removeprefix("tag=")
            for run in self.last.get("runs", [])
            for word in run["args"]
            if word.startswith("tag=") and run["state"] in ("active", "stalled")
        }

    @property
    def stalled(self) -> list[int]:
        """Runs whose runner was given up."""
        return [r["run"] for r in self.last.get("runs", []) if r["state"] == "stalled"]

    @property
    def queue_waits(self) -> int:
        """Tasks of the queue run that have not ended."""
        found = [r for r in self.last.get("runs", []) if r["run"] == 0]
        return sum(r["waiting"] + r["leased"] + r["delayed"] for r in found)

    def end(self) -> None:
        """No more questions."""
        self._program.kill()


def runnable(run: dict[str, Any]) -> bool:
    """Whether a task of it may start: of a run with limits, where none of its tasks runs."""
    return run["waiting"] > 0 and (run["job"] != "polite" or run["leased"] == 0)
