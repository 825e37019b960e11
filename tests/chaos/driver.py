"""One chaos from start to end: faults for a while, heal, drain, look at everything."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .faults import Faults
from .ground.canary import Canary
from .ground.cluster import Cluster
from .ground.processes import HERE, Ground, vitals, wait_for
from .load import Load, numbered
from .plan import ON_DATABASE, WEIGHTS, Fault, kills, poisson
from .verdict import table
from .verdict.evidence import RunStory, Story, count_collected, match_hits, poison_hits, read_diary
from .verdict.growth import Growth, spare_descriptors
from .verdict.invariants import violations
from .verdict.watch import Watch

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer

EVERY_S = 0.6
"""Mean time between two faults."""

CLEAR_S = 0.12
"""Least time between two kills of `--kills`."""


class Chaos:
    """A folder, a cluster, and the story of what was done to it."""

    def __init__(
        self, seed: int, *, old: bool = False, server: PostgresServer | None = None
    ) -> None:
        self.seed = seed
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
        shutil.copytree(HERE / "jobs", folder / "jobs", ignore=shutil.ignore_patterns("__*"))
        self.ground = Ground(folder)
        self.cluster = Cluster(self.ground)
        self.load = Load(self.cluster, seed)
        if server is None:
            self.faults = Faults(self.cluster, self.load, seed, master_takes_leases=old)
            self.kinds = WEIGHTS
        else:
            from .database import DatabaseFaults  # not all that run this have psycopg

            self.ground.store = {"MASTER_STORE": server.dsn("chaos")}
            self.faults = DatabaseFaults(self.cluster, self.load, seed, server)
            self.kinds = ON_DATABASE
        self.canary = Canary()
        self.story = Story()
        self.said = print
        self.growth = Growth(lambda line: self.said(line))
        self.faults.before_kill = self._before_kill

    # --- the phases ---

    def start(self) -> None:
        """Everybody is there and connected."""
        self.canary.start()
        self.cluster.start_master()
        self.cluster.start_workers()
        self.watch = Watch(self.cluster)
        self.cluster.start_client("reader", "read")
        wait_for(self._all_connected, 20.0)
        assert self.cluster.master is not None
        self.growth.fresh = vitals(self.cluster.master.pid)

    def _all_connected(self) -> bool:
        self.watch.turn(set())
        sessions = self.watch.last.get("sessions", [])
        return sum(s["role"] == "worker" for s in sessions) == self.cluster.size

    def run_for(self, seconds: float) -> None:
        """Random faults under a varied load."""
        self.cluster.start_producer()
        self.cluster.start_client("stock worker", "work")
        plan = poisson(self.seed, seconds, EVERY_S, self.kinds)
        self._keep_plan(plan)
        begin = time.monotonic()
        while (now := time.monotonic() - begin) < seconds:
            while plan and plan[0].at <= now:
                self.faults.do(plan.pop(0))
            self._turn(more=now < seconds - 1.0)

    def run_kills(self, count: int, tasks: int) -> None:
        """So many kills while so many tasks run, with the default options of a job."""
        share = tasks // 5
        for n in range(5):
            tag = f"gather{n}"  # with a collect: there is a runner until the end
            mean_s = min(0.3, count * 0.3 * 8 * 0.6 / tasks)
            words = [f"count={share}", f"mean_s={mean_s:.4f}", "pause_s=0.001"]
            self.load.ask(RunStory("gather", tag, words, numbered(tag, share)))
        plan = kills(self.seed, count)
        self._keep_plan(plan)
        last = 0.0
        while plan:
            self._turn(more=False)
            done = sum(run["done"] for run in self.watch.last.get("runs", []))
            if done / tasks >= plan[0].at and time.monotonic() - last > CLEAR_S:
                last = time.monotonic()
                if self.faults.do(plan[0]):
                    plan.pop(0)
            if not self.load.asking and not self.watch.active and done >= tasks:
                self.story.troubles.append(f"{len(plan)} kills came too late for the work")
                return

    def _keep_plan(self, plan: list[Fault]) -> None:
        text = json.dumps([vars(fault) for fault in plan], indent=1)
        (self.ground.folder / "plan.json").write_text(text)

    def _turn(self, more: bool) -> None:
        self.faults.due()
        self.cluster.tend()
        self.growth.meet(self.cluster.workers, self.cluster.slots)
        self.watch.turn(self.faults.disturbed)
        self.faults.active = self.watch.active
        self.load.turn(self.watch.active, more)
        time.sleep(0.02)

    def drain(self, within_s: float) -> None:
        """Heal, and wait until nothing is left to do."""
        self.faults.undo_all()
        producer = self.cluster.clients.pop("producer", None)
        if producer is not None:
            producer.kill()
        healed, retried = time.monotonic(), False
        while not self._drained(healed):
            if time.monotonic() - healed > within_s:
                left = [(r["job"], r["args"], r["state"]) for r in self._unfinished()]
                unknown = [run.tag for run in self.load.runs if not self.watch.row(run.tag)]
                owed = f", not collected: {self._uncollected()}, not in status: {unknown}"
                owed *= not left
                self.story.troubles.append(f"not drained within {within_s:.0f} s: {left}{owed}")
                return
            if self.watch.stalled and not retried:  # its runner was killed too often in a row
                retried = True
                for run in self.watch.stalled:
                    self.load.command("retry", str(run)).popen.wait(20.0)
            self._turn(more=False)
        self.said(f"drained in {time.monotonic() - healed:.1f} s")

    def _unfinished(self) -> list[dict[str, Any]]:
        runs = (r for r in self.watch.last.get("runs", []) if r["run"])  # run 0 never ends
        return [r for r in runs if r["state"] in ("active", "stalled")]

    def _drained(self, healed: float) -> bool:
        if self.watch.last.get("at", 0.0) < healed + 0.5 or self.load.asking:
            return False
        known = [run for run in self.load.runs if self.watch.row(run.tag)]
        if len(known) != len(self.load.runs) or self.watch.active:
            return False
        return self._queue_is_read() and not self._uncollected()

    def _uncollected(self) -> list[str]:
        """Tags of runs that have ended, with results that `collect()` was not given yet."""
        counts = {run.tag: self.watch.row(run.tag) for run in self.load.runs if run.job == "gather"}
        known = {tag: row for tag, row in counts.items() if row}
        owed = {tag: row["done"] for tag, row in known.items() if row["state"] != "cancelled"}
        given = count_collected(self.ground.diary)
        return [tag for tag, done in owed.items() if given[tag] < done]

    def _queue_is_read(self) -> bool:
        """Nothing of the queue run waits, and its reader has had all of it."""
        queue = [r for r in self.watch.last["runs"] if r["run"] == 0]
        if self.watch.queue_waits:
            return False
        path = self.ground.diary
        text = path.read_text() if path.exists() else ""
        read = {line.split(" ")[2:7:4][-1] for line in text.splitlines() if line[:2] == "R "}
        return len(read) >= sum(r["done"] for r in queue)

    # --- the evidence ---

    def gather(self) -> Story:
        """Ask the master for everything, end it all, and read what the jobs wrote."""
        story = self.story
        story.runs = self.load.runs
        for run in story.runs:
            run.row = self.watch.row(run.tag)
            run.rows = list(self._results(run.run))
            asked = any(r is run for r, _ in self.load.cancels)
            run.cancelled = asked and run.row.get("state") == "cancelled"
            if run.row:
                run.row.setdefault("cancelled", 0)
        story.queue_rows = list(self._results(0))
        story.troubles += [f"two runs with one key: {tag}" for tag in self.watch.doubles]
        self._check_growth()
        self.watch.end()
        self.cluster.end()
        if not wait_for(lambda: not self.ground.left_over(), 5.0):
            left = self.ground.end_left_over()
            story.troubles += [f"left behind: {words}" for words in left]
        story.troubles += [*self.cluster.troubles, *self.watch.troubles]
        logs = sorted(self.ground.folder.glob("*.log"))
        story.troubles += [
            f"{path.name}: {line}"
            for path in logs
            for line in path.read_text("utf-8", "replace").splitlines()
            if "an error of ours" in line
        ]
        self.canary.over.set()
        story.lags, story.hits = self.canary.lags, self.faults.hits
        told = [f"{h.begin:.3f} to {h.end:.3f} {h}" for h in story.hits]
        (self.ground.folder / "hits.txt").write_text("\n".join(told))
        read_diary(self.ground.diary, story)
        story.hits += poison_hits(story)
        match_hits(story)
        return story

    def _results(self, run: int) -> Iterator[dict[str, Any]]:
        port = str(self.cluster.front.port)
        words = ["-m", "master", "results", str(run)]
        done = subprocess.run(
            [sys.executable, *words],
            env=self.ground.environment(QUEUE_PORT=port),
            cwd=self.ground.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            self.story.troubles.append(f"results {run}: {done.stderr.strip()[-300:]}")
        return (json.loads(line) for line in done.stdout.splitlines())

    def _before_kill(self, master: int) -> None:
        """Its life ends in the middle of the work, with whoever is there."""
        strangers = sum(sock.fileno() >= 0 for sock in self.faults.strangers)
        spare = spare_descriptors(self.cluster, len(self.load.asking), strangers)
        self.growth.check_master(master, "before it was killed", spare)

    def _check_growth(self) -> None:
        master = self.cluster.master
        if master is not None and master.alive:
            self.growth.check_master(master.pid, "at the end")
        self.growth.check_workers(self.cluster.workers)
        self.story.troubles += self.growth.troubles

    def end(self) -> None:
        """Whatever happened: nothing stays behind."""
        self.canary.over.set()
        self.ground.end_left_over()


def run_chaos(
    seed: int,
    work: Callable[[Chaos], None],
    replay: str,
    *,
    drain_s: float = 60.0,
    old: bool = False,
    after: Callable[[Story], list[str]] = lambda story: [],
    server: PostgresServer | None = None,
) -> tuple[bool, str]:
    """Do one chaos. Returns whether everything held, and what to print.

    Args:
        work: the faults, between start and healing.
        replay: the command that does the same again.
        after: more to check, on top of the invariants.
        server: the master's store is there, and faults are done to it, too. None: it is a file.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    chaos = Chaos(seed, old=old, server=server)
    said: list[str] = []
    chaos.said = said.append  # type: ignore[assignment]
    try:
        chaos.start()
        work(chaos)
        chaos.drain(drain_s)
        story = chaos.gather()
    finally:
        chaos.end()
    said += table.lines(story, chaos.faults.done, chaos.watch.refused)
    said += [f"left out, this product lacks it: {what}" for what in chaos.load.left_out]
    broken = violations(story)
    broken["figures"] = after(story)
    for what, found in broken.items():
        said.append(f"{'ok  ' if not found else 'FAIL'} {what}")
        said += [f"       {line}" for line in found[:8]]
    if fine := not any(broken.values()):
        shutil.rmtree(chaos.ground.folder, ignore_errors=True)
    else:
        said += [f"the folder is kept: {chaos.ground.folder}", f"again: {replay}"]
    return fine, "\n".join([f"chaos, seed {seed}", *said])
