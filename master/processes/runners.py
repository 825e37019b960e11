"""The runner processes of a master: one for each run that has tasks to give or results to collect.

A runner that dies is started again with back-off; after five deaths without progress its run is
stalled, which touches no other run. It is given another chance when its job's code has changed, or
by `retry`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from queue_manager.authkey import without_key
from queue_manager.lifeline import die_with
from queue_manager.wire.records import NOBODY_COLLECTS

from ..broker.run import Run
from ..turn.answers import told
from .child_output import end_group, output_of
from .gate import Gate, Ticket
from .relay import Relay

log = logging.getLogger("quartermaster.master")

DEATHS = 5
STARTING = 4
"""So many runners start at a time; after a restart of the master there may be a thousand."""

START_S = 10.0
"""Whoever has not taken up its run by then holds up the next one no longer."""

LOST_S = 5.0
"""So long a runner may live whose session has ended."""

STDERR_BYTES = 4096
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_LONGEST_WAIT_S = 30.0
_STOP_S = 3.0
_LOOK_S = 0.05


@dataclass(slots=True)
class Runner:
    """The process of one run. over: it ended well, or was stopped with its run.

    stalled: one line when it was given up. again: one more is wanted when this one has ended.
    stopped: its run was cancelled or forgotten. anew: its process is ended for another to take
    over, which gives no tasks any more. trouble: one line when the system can't start it for now.
    ticket: of the gate, while it starts. urgent: somebody waits for it. waits_since: since when it
    waits to be let in by the gate (monotonic), None while it does not.
    """

    run: Run
    process: asyncio.subprocess.Process | None = None
    deaths: int = 0
    over: bool = False
    stderr: bytes = b""
    stalled: str = ""
    again: bool = False
    stopped: bool = False
    anew: bool = False
    progress: tuple[int, ...] = ()
    trouble: str = ""
    ticket: Ticket | None = None
    urgent: bool = True
    waits_since: float | None = None

    @property
    def lives(self) -> bool:
        """Whether it is at work, or will be again by itself."""
        return not (self.over or self.stopped or self.stalled)


class Runners:
    """Keeps a runner for every run that needs one.

    Args:
        environment: what a runner gets beside the master's own environment (address and key).
        idle: how often the runner of a run came to where it had only outcomes to wait for; being
            killed there is not its fault.
    """

    def __init__(self, environment: Mapping[str, str], idle: Mapping[int, int]) -> None:
        # The key goes through the runner's stdin: a job must not find it in the environment.
        self._environment = without_key({**os.environ, **environment})
        self._authkey = environment.get("QUEUE_AUTHKEY", "").encode("utf-8", "surrogateescape")
        self._idle = idle
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._gate = Gate(STARTING)
        self.all: dict[int, Runner] = {}
        self.on_finished: list[Callable[[Run], None]] = []
        self.on_stalled: list[Callable[[Run, str], None]] = []

    def start(self, run: Run, *, urgent: bool = True) -> None:
        """Keep a runner for this run until it has ended well; one that was given up tries again.

        urgent: it comes before those that go on after a restart of the master.
        """
        present = self.all.get(run.id)
        if present is not None and not (present.stalled or present.over):
            present.again = True  # it may be on its way out, from before the run went on
            return
        runner = self.all[run.id] = Runner(run, urgent=urgent)
        task = asyncio.get_running_loop().create_task(self._keep(runner))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(told)

    def lives(self, run: Run) -> bool:
        """Whether a runner has still to do with a run."""
        runner = self.all.get(run.id)
        return runner is not None and runner.lives

    def opened(self, number: int, pid: int) -> None:
        """A runner has taken up its run: it has started, and the next one may."""
        runner = self._by_process(number, pid)
        if runner is not None and runner.ticket is not None:
            runner.ticket.leave()

    def lost(self, number: int, pid: int) -> None:
        """The session of a runner has ended; what it does without one is of no use."""
        runner = self._by_process(number, pid)
        if runner is not None and runner.process is not None:
            asyncio.get_running_loop().call_later(LOST_S, _kill, runner, runner.process)

    def _by_process(self, number: int, pid: int) -> Runner | None:
        runner = self.all.get(number)
        if runner is None or runner.process is None or runner.process.pid != pid:
            return None
        return runner

    async def end(self, run: Run) -> None:
        """End the runner of a run that is to go, if there is one, and wait until it has ended."""
        runner = self.all.get(run.id)
        if runner is None:
            return
        self._stop_one(runner)
        deadline = time.monotonic() + 2 * _STOP_S
        while runner.process is not None and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)

    def run_ended(self, run: Run) -> None:
        """All tasks of a run have ended; its runner may be over before that (`Runner.over`).

        One that was cancelled has its runner stopped, which may be in the midst of `tasks()`; what
        `finish()` needs is done by a new one.
        """
        runner = self.all.get(run.id)
        if run.state == "cancelled" and run.options.finish:
            self._begin_anew(run, runner)
        elif runner is not None:
            if run.state == "cancelled":
                self._stop_one(runner)
            self._finish(runner)

    def _begin_anew(self, run: Run, runner: Runner | None) -> None:
        if runner is None or runner.stalled or runner.over:
            self.start(run)
        else:
            runner.anew = True
            self._end(runner)

    def drop(self, run: Run) -> None:
        """A run was forgotten or pruned: its runner, if it still collected, ends."""
        self.gone(run.id)

    def gone(self, number: int) -> None:
        """As `drop`; nothing stays of a runner whose run is no more."""
        runner = self.all.pop(number, None)
        if runner is not None:
            self._stop_one(runner)

    def _stop_one(self, runner: Runner) -> None:
        runner.stopped = True
        if runner.stalled or runner.over:
            runner.over = True
        else:
            self._end(runner)

    def _end(self, runner: Runner) -> None:
        process = runner.process
        if process is not None and process.returncode is None:
            _signal(process.pid, signal.SIGTERM)
            asyncio.get_running_loop().call_later(_STOP_S, _kill, runner, process)

    async def stop(self) -> None:
        """End all runners; what they had not handed in comes again after the next start."""
        self._stopping = True
        # Only those that live: the number of one that ended may be somebody else's by now.
        processes = [runner.process for runner in self.all.values()]
        alive = [p.pid for p in processes if p is not None and p.returncode is None]
        for pid in alive:
            _signal(pid, signal.SIGTERM)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_S)
        for pid in alive:
            _signal(pid, signal.SIGKILL)

    async def _keep(self, runner: Runner) -> None:
        run, pause_s, wait_s = runner.run, _FIRST_PAUSE_S, _FIRST_PAUSE_S
        while not (self._stopping or runner.stopped):
            runner.again = runner.anew = False
            code = await self._try(runner)
            if self._stopping or runner.stopped:
                break
            if runner.anew:
                continue
            if code is None:  # the system's trouble, not the run's: it is no death
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
                continue
            wait_s = _FIRST_PAUSE_S
            if code == 0 and runner.again and (run.active or uncollected(run)):
                continue
            if code == 0 and is_through(run):
                runner.over = True
                break
            progress = (run.tasks, run.collected, run.collected_into, self._idle.get(run.id, 0))
            if runner.progress != progress:
                runner.progress, runner.deaths, pause_s = progress, 0, _FIRST_PAUSE_S
            runner.deaths += 1
            log.warning("the runner of run %d (%s) %s", run.id, run.job, _how(code))
            if runner.deaths >= DEATHS:
                self._stall(runner, code)
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        runner.over = runner.over or runner.stopped
        self._finish(runner)

    async def _try(self, runner: Runner) -> int | None:
        """Its exit code; None when there could be no process."""
        runner.waits_since = time.monotonic()
        ticket = runner.ticket = await self._gate.enter(urgent=runner.urgent)
        runner.waits_since = None
        try:
            if self._stopping or runner.stopped:
                return None
            return await self._live(runner, ticket)
        except (OSError, subprocess.SubprocessError) as error:  # such as too many processes
            trouble = f"its runner can't be started ({error}): it is tried again by itself"
            if trouble != runner.trouble:
                runner.trouble = trouble
                log.error("run %d (%s): %s", runner.run.id, runner.run.job, trouble)
            return None
        finally:
            ticket.leave()

    async def _live(self, runner: Runner, ticket: Ticket) -> int:
        process = runner.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "master.runner.main",
            str(runner.run.id),
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # a terminal's Ctrl-C is the master's to handle
            preexec_fn=partial(die_with, os.getpid()),
        )
        runner.trouble = ""
        asyncio.get_running_loop().call_later(START_S, ticket.leave)
        if process.stdin is not None:
            process.stdin.write(self._authkey)
            process.stdin.close()
        if runner.stopped or runner.anew or self._stopping:  # while it was being started
            end_group(process)
        relay = Relay()
        async for part in output_of(process, process.stderr):
            runner.stderr = (runner.stderr + part)[-STDERR_BYTES:]
            relay.write(part)
        relay.end()
        if process.returncode is not None:
            end_group(process)  # something that it has left holds its stderr
        code = await process.wait() if process.returncode is None else process.returncode
        runner.process = None
        return code

    def _finish(self, runner: Runner) -> None:
        present = self.all.get(runner.run.id) is runner  # else it was forgotten
        if present and runner.over and not runner.run.active:
            del self.all[runner.run.id]  # of an ended run nothing stays
            for listener in self.on_finished:
                listener(runner.run)

    def _stall(self, runner: Runner, code: int) -> None:
        run = runner.run
        tail = runner.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        runner.stalled = f"its runner {_how(code)} {DEATHS} times without progress" + (
            f": {tail[0]}" if tail else ""
        )
        log.error("run %d (%s) is stalled: %s; %s", run.id, run.job, runner.stalled, mend(run))
        for listener in self.on_stalled:
            listener(run, runner.stalled)


def mend(run: Run) -> str:
    """What to do about a run whose runner was given up."""
    how = "or" if run.active else "then"  # the files of ended runs are not watched
    return f"mend jobs/{run.job}.py, {how} `qm retry {run.id}`"


def is_through(run: Run) -> bool:
    """Whether a run needs no runner any more: it gave all its tasks, and said that it is done."""
    if run.active:
        return run.exhausted and run.collected >= NOBODY_COLLECTS
    return not uncollected(run)


def is_frozen(runner: Runner) -> bool:
    """Whether its process was stopped by a signal (Linux, proc(5), `stat`)."""
    if runner.process is None:
        return False
    try:
        stat = Path(f"/proc/{runner.process.pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[:1] == [b"T"]


def uncollected(run: Run) -> bool:
    """Whether `collect()` has not been given all that there is, or `finish()` has not returned."""
    if run.state == "pruned":
        return False
    if run.options.finish:
        return run.collected < NOBODY_COLLECTS
    return run.state != "cancelled" and run.collected < run.last_seq


def _kill(runner: Runner, process: asyncio.subprocess.Process) -> None:
    # When it and all that held its stderr are gone, the number may be somebody else's by now.
    if runner.process is process:
        _signal(process.pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    """To a runner and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code == 0:
        return "ended with exit code 0 and had not said that it is done"
    if code > 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
