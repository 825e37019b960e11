"""Decides which version of a job's code is the right one: that of the master's file on disk.

Code that a client has uploaded has no file, and is left alone. Files are read and parsed in a
thread, and imported in a child process. A turn brings a change to the runs of that job. Knows
nothing of who runs the code.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import msgspec

from queue_manager.errors import QueueError, RefusedError
from queue_manager.job.loading import job_version
from queue_manager.job.tags import joined
from queue_manager.log_lines import about_run
from queue_manager.wire.messages import StartRun
from queue_manager.wire.records import Feeder, RunOptions

from ..broker.runs.run import Run
from ..changes import QUEUE_RUN, GivenArguments
from ..processes.gate import Gate
from ..turn.answer import log_failure
from ..turn.steps import Publish
from ..turn.turn import Turn
from .check import Fit, check_job
from .look import Checked
from .pythons import Pythons

log = logging.getLogger("quartermaster.master")

EVERY_S = 5.0
"""How often the files of active runs are looked at."""

LOOKS = 4
"""How many jobs are imported at a time, to look at them."""

COMPLAINT_S = 1.0
"""A worker with other code makes the master look at once, but at a job no more often than this."""


class Fitted(NamedTuple):
    """What a new run takes of a look at its job. given: the arguments as values. key: that of a run
    which is asked for without one; empty: it has none."""

    version: str
    options: RunOptions
    given: GivenArguments = GivenArguments()
    key: str = ""


class JobFiles:
    """Looks at the files of jobs as they are now, without holding up the loop."""

    def __init__(self, folder: Path, pythons: Pythons) -> None:
        self._folder, self._pythons = folder, pythons
        self._gate = Gate(LOOKS)

    async def version(self, job: str) -> str:
        """The version of a job's code. Raises UnknownJobError when there is no such file."""
        return await asyncio.to_thread(job_version, job, self._folder)

    async def options(self, job: str) -> RunOptions:
        """The options of a job. Errors: as of `check_job`."""
        return (await self.look(job, None)).options

    async def look(self, job: str, fit: Fit | None, *, at_once: bool = True) -> Checked:
        """As `check_job`, with the Python that the job asks for. at_once: as of `for_look`."""
        python = await self._pythons.for_look(job, at_once=at_once)
        ticket = await self._gate.enter()
        try:
            return await check_job(job, fit, self._folder, python)
        finally:
            ticket.leave()


class Versions:
    """Keeps the versions and options of runs as the files have them.

    trouble: by job, one line that says why its file can't be used as it is. on_changed: is told of
    a job whose code has changed, and of the runs that took it, when that is on disk.
    """

    def __init__(self, turn: Turn, files: JobFiles) -> None:
        self._turn = turn
        self._files = files
        self._looked: dict[str, float] = {}
        self._refused: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._said: dict[str, str] = {}
        self._submits: dict[str, asyncio.Event] = {}
        self._seen: dict[str, tuple[str, RunOptions]] = {}
        self.trouble: dict[str, str] = {}
        self.on_changed: list[Callable[[str, list[Run]], None]] = []

    # --- when somebody asks for it ---

    async def check_for_submit(self, ask: StartRun, *, at_once: bool = True) -> Fitted:
        """What a new run of a job takes of a look at it.

        Arguments are only checked if a runner is to call `tasks()` with them. at_once: somebody
        waits, so an environment is tried even if it has failed a moment ago.

        Raises a QueueError with one line when the job or its arguments are wrong.
        """
        looked = self._submits.setdefault(ask.job, asyncio.Event())
        try:
            # The version comes first: a file that changes meanwhile has another at the next look.
            version = await self._files.version(ask.job)
            options, given, key = await self._fit(ask, at_once)
            self._seen[ask.job] = version, options
        finally:
            looked.set()
            self._submits.pop(ask.job, None)
        self._is_fine(ask.job)
        self._start(ask.job)
        return Fitted(version, _asked(options, ask.feeder, ask.needs), given, key)

    async def _fit(self, ask: StartRun, at_once: bool) -> tuple[RunOptions, GivenArguments, str]:
        if ask.feeder != "runner":
            return await self._files.options(ask.job), GivenArguments(), ""
        fit = Fit(ask.args, ask.arguments, bool(ask.after))
        checked = await self._files.look(ask.job, fit, at_once=at_once)
        return checked.options, GivenArguments(ask.arguments, checked.shown), checked.key

    async def recheck(self, run: Run) -> None:
        """Look at the job of a run that is to be retried; the change is on disk when it returns.

        Raises a QueueError with one line when the file can't be used.
        """
        if run.job and not run.uploaded:
            version = await self._files.version(run.job)
            options = await self._files.options(run.job)
            self._is_fine(run.job)
            await self._take(run.job, version, options, [run])
            self._start(run.job)

    # --- when nobody asks ---

    def worker_mismatch(self, run: Run) -> None:
        """A worker has another version of a job: look at once, it may be the newer one."""
        if not run.uploaded:
            self._start_after(run.job, COMPLAINT_S, time.monotonic())

    def tick(self, now: float) -> None:
        """Look at the jobs of active runs that were not looked at for a while."""
        runs = self._turn.broker.runs.values()
        jobs = {run.job for run in runs if run.active and run.job and not run.uploaded}
        kept: tuple[dict[str, Any], ...] = (
            self._looked,
            self._refused,
            self._said,
            self._seen,
            self.trouble,
        )
        for known in kept:
            for job in known.keys() - jobs:  # no active run of it is left
                del known[job]
        for job in jobs:
            self._start_after(job, EVERY_S, now)

    def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()

    def _start_after(self, job: str, wait_s: float, now: float) -> None:
        if now - self._looked.get(job, -math.inf) >= wait_s:
            self._looked[job] = now
            self._start(job)

    def _start(self, job: str) -> None:
        task = asyncio.get_running_loop().create_task(self.poll(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)

    async def poll(self, job: str) -> None:
        """Compare a job's file with its active runs, and have them take a new version.

        If a submit looks at the job just now, its answer serves here too.
        """
        async with self._locks.setdefault(job, asyncio.Lock()):
            if job in self._submits:
                await self._submits[job].wait()
            try:
                version = await self._files.version(job)
            except QueueError as error:
                self._complain(job, error, "its tasks wait until it is back")
                return
            if any(run.version != version for run in self._runs_of(job)):
                options = await self._options(job, version)
                with contextlib.suppress(QueueError):  # the disk is full: the next look tries again
                    await self._take(job, version, options, self._runs_of(job))
            elif self._refused.get(job) != version:
                self._is_fine(job)

    async def _options(self, job: str, version: str) -> RunOptions | None:
        """The options of a new version; None, with a warning, when it does not import.

        Such a version is taken nevertheless: workers can't run it either, and hand its tasks
        back uncharged until it is mended.
        """
        seen, options = self._seen.pop(job, ("", None))
        if options is not None and seen == version:
            return options
        try:
            options = await self._files.options(job)
        except RefusedError as error:
            self._refused[job] = version
            self._complain(job, error, f"tasks of {job} wait until that is mended")
            return None
        self._is_fine(job)
        return options

    def _runs_of(self, job: str) -> list[Run]:
        runs = self._turn.broker.runs.values()
        return [run for run in runs if run.active and run.job == job and not run.uploaded]

    async def _take(
        self, job: str, version: str, options: RunOptions | None, runs: list[Run]
    ) -> None:
        """Stage the new version of runs. Returns when it is on disk."""

        def stage(now: float, wall: float) -> Publish:
            present = [r for r in runs if self._turn.broker.recall(r.id) is r]
            before = [(run, run.version) for run in present]
            for run in present:
                ours = _options_of(run, options)
                if (run.version, run.options) != (version, ours):
                    self._turn.broker.set_code(run, version, ours)
            return partial(self._taken, job, version, before)

        await self._turn.carry_out(stage)

    def _taken(self, job: str, version: str, before: list[tuple[Run, str]]) -> None:
        changed = [(run, old) for run, old in before if old != version]
        for run, old in changed:
            if old and run.id != QUEUE_RUN:
                what = run.id, job, f"{old[:8]} -> {version[:8]}"
                log.info("run %d (%s): its code has changed (%s)", *what, extra=about_run(run))
        if changed:
            for listener in self.on_changed:
                listener(job, [run for run, _ in changed])

    def is_news(self, job: str, error: QueueError) -> bool:
        """Whether this trouble of a job is new. The caller logs it then."""
        before, self._said[job] = self._said.get(job), str(error)
        return before != str(error)

    def _complain(self, job: str, error: QueueError, what: str) -> None:
        """Log a lasting trouble once, not at each look. what: what becomes of the tasks."""
        runs = self._runs_of(job)
        self.trouble[job] = line = f"{error}; {what}"
        if runs and all(run.id == QUEUE_RUN and not run.unended for run in runs):
            line = without_seed(job, error)  # no task waits for it
        if self.is_news(job, error):
            log.warning("%s", line)

    def _is_fine(self, job: str) -> None:
        self._said.pop(job, None)
        self._refused.pop(job, None)
        self.trouble.pop(job, None)


def without_seed(job: str, error: QueueError) -> str:
    """What the log says of a JOB that can't be used."""
    return f"JOB={job}: {error}; the master serves without it"


def _options_of(run: Run, options: RunOptions | None) -> RunOptions:
    """What a run takes of the options in its job's file. options: None if that can't be used.

    The queue run takes `needs` alone: our workers run its tasks with the code of the job. No submit
    has read the other OPTIONS for it.
    """
    if options is None:
        return run.options
    if run.id == QUEUE_RUN:
        return msgspec.structs.replace(run.options, needs=options.needs)
    ours = run.options
    options = msgspec.structs.replace(options, lasting=ours.lasting, inputs_only=ours.inputs_only)
    try:
        return _asked(options, run.options.feeder, run.options.also_needs)
    except RefusedError:  # the file needs more tags now than the run has room for
        return run.options


def _asked(options: RunOptions, feeder: Feeder, needs: Sequence[str]) -> RunOptions:
    """The options of a job's file for a run that was asked for so.

    Only a runner calls `finish()`. needs: tags beside those of the file.

    Raises RefusedError if these are too many.
    """
    if feeder == "runner" and not needs:
        return options
    return msgspec.structs.replace(
        options,
        feeder=feeder,
        finish=options.finish and feeder == "runner",
        needs=joined(options.needs, needs),
        also_needs=sorted(needs),
    )
