"""One runner from outside: its process, and what is to become of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path

from queue_manager.environments.python import OWN, Python
from queue_manager.lifeline import die_with

from ..broker.runs.run import Run
from ..changes import CollectCursor
from ..runner.crash import BAD_ARGUMENTS
from .child_output import end_group, output_of
from .gate import Ticket
from .relay import Relay

STDERR_BYTES = 4096

STOP_S = 3.0
"""How long a runner has between SIGTERM and SIGKILL."""


class RunnerState(Enum):
    """What becomes of a runner, now or when its present process ends."""

    KEPT = auto()
    """It is at work, or will be again by itself."""

    ONCE_MORE = auto()
    """Its run goes on, and its process may be about to end: another one follows in any case."""

    REPLACED = auto()
    """Its process is being ended. Another one takes over, which gives no more tasks."""

    STOPPING = auto()
    """Its run was cancelled or forgotten. Its process is being ended, and no other follows."""

    ENDED = auto()
    """It ended well, or was stopped with its run."""

    STALLED = auto()
    """It died too often without progress, and was given up."""


@dataclass(slots=True)
class Runner:
    """The runner of one run.

    why_stalled: one line, if it was given up. exit_code: of its last process. trouble: one line
    while the system can't start it. ticket: of the gate, while it starts. urgent: somebody waits
    for it. waits_since: since when it waits at the gate (monotonic s). None: it does not wait.
    """

    run: Run
    process: asyncio.subprocess.Process | None = None
    state: RunnerState = RunnerState.KEPT
    deaths: int = 0
    exit_code: int = 0
    stderr: bytes = b""
    why_stalled: str = ""
    progress: tuple[int, CollectCursor, int] | None = None
    trouble: str = ""
    ticket: Ticket | None = None
    urgent: bool = True
    waits_since: float | None = None

    @property
    def lives(self) -> bool:
        """Whether it is at work, or will be again by itself."""
        return not (self.over or self.stalled or self.state is RunnerState.STOPPING)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.state is RunnerState.ENDED

    @property
    def stalled(self) -> bool:
        """Whether it was given up."""
        return self.state is RunnerState.STALLED

    @property
    def is_to_end(self) -> bool:
        """Whether its present process is of no use."""
        return self.state in (RunnerState.STOPPING, RunnerState.REPLACED)

    @property
    def frozen(self) -> bool:
        """Whether its process was stopped by a signal (Linux, proc(5), `stat`)."""
        if self.process is None:
            return False
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_bytes()
        except OSError:
            return False
        return stat.rpartition(b")")[2].split()[:1] == [b"T"]

    def remedy(self) -> str:
        """What the user can do if it was given up."""
        run = self.run
        how = "or" if run.active else "then"  # the files of ended runs are not watched
        mend = f"mend jobs/{run.job}.py, {how} `qm retry {run.id}`"
        if self.exit_code != BAD_ARGUMENTS:
            return mend
        return (
            f"if an argument is wrong, `qm cancel {run.id}` and submit it again with another one;"
            f" else {mend}"
        )

    # --- its process ---

    async def live(
        self,
        environment: Mapping[str, str],
        secret: bytes,
        ready: asyncio.subprocess.Process | None = None,
        python: Python = OWN,
    ) -> int:
        """Run the process to its end, and pass on what it writes. Returns the exit code.

        secret: what it needs to prove the key: a line of keys that are made already, and the key.
        ready: a process that was started before; None: one is started now, with `python`.

        Raises:
            OSError, subprocess.SubprocessError: the system can't start it.
        """
        process = self.process = ready or await start_process(environment, python)
        self.trouble = ""
        if process.stdin is not None:
            process.stdin.write(b"%d\n" % self.run.id + secret)
            process.stdin.close()
        if self.is_to_end:  # since before the process was there
            end_group(process)
        await self._pass_on(process)
        if process.returncode is not None:
            end_group(process)  # a process that it left behind holds its stderr
        self.exit_code = await process.wait() if process.returncode is None else process.returncode
        self.process = None
        return self.exit_code

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        relay = Relay()
        async for part in output_of(process, process.stderr):
            self.stderr = (self.stderr + part)[-STDERR_BYTES:]
            relay.write(part)
        relay.end()

    def end(self) -> None:
        """Have its process end: SIGTERM now, and SIGKILL later."""
        process = self.process
        if process is not None and process.returncode is None:
            signal_group(process.pid, signal.SIGTERM)
            asyncio.get_running_loop().call_later(STOP_S, self.kill, process)

    def kill(self, process: asyncio.subprocess.Process) -> None:
        """Kill this process of the runner, if it is still there."""
        # Once the process and all that held its stderr are gone, another may have its number.
        if self.process is process:
            signal_group(process.pid, signal.SIGKILL)


async def start_process(
    environment: Mapping[str, str], python: Python = OWN
) -> asyncio.subprocess.Process:
    """Start the process of a runner. It loads its modules, and waits for a run on its stdin.

    Raises:
        OSError, subprocess.SubprocessError: the system can't start it.
    """
    return await asyncio.create_subprocess_exec(
        python.program,
        "-m",
        "master.runner.main",
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=python.variables(environment),
        start_new_session=True,  # a terminal's Ctrl-C is the master's to handle
        preexec_fn=partial(die_with, os.getpid()),
    )


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a runner and to what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def how_it_ended(code: int) -> str:
    """How a process ended, in words."""
    if code == 0:
        return "ended with exit code 0 and had not said that it is done"
    if code > 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
