"""One slot: the process that runs `work` (`python -m worker.slot.main`, started by the supervisor).

Owns the user's modules and their `setup`, and which leases need a fresh process. A slot never
outlives its supervisor and never talks to the master.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import inspect
import os
import socket
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from queue_manager.environments.layout import hold_own
from queue_manager.errors import JobError
from queue_manager.job.current import TRACE_VARIABLE, CurrentTask, running
from queue_manager.job.loading import Job, load_job
from queue_manager.job.uploaded import is_uploaded
from queue_manager.lifeline import die_with
from queue_manager.terminal import harmless
from queue_manager.wire.records import Lease

from ..ipc.outcomes import one_line
from ..ipc.pipe import Give, Report, SlotEnd
from ..ipc.shared_page import POSITION, PREPARING, Row, SharedPage
from .environment import become, handed_over
from .reporter import FLUSH_S, Reporter, Watch
from .stdio import Stdio
from .surroundings import Snapshot, Surroundings
from .work_loop import careful, payloads_of, run_lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from .async_slot import AsyncSlot


OOM_SCORE = 500
"""What the kernel adds to a slot's own score: as much as half of all memory would."""


class Slot:
    """Runs the leases that come through the pipe, one after the other.

    environment: the folder of the environment that this process is in; empty for none. become:
    replaces this process by one of the environment of a lease. It returns never.
    """

    def __init__(
        self,
        end: SlotEnd,
        shared_page: SharedPage,
        folder: Path,
        watch: Watch,
        printed: Stdio,
        around: Surroundings | None = None,
        environment: str = "",
        become: Callable[[Give], None] = lambda _: None,
    ) -> None:
        self._environment, self._become = environment, become
        self._end, self._shared_page, self._folder, self._watch = end, shared_page, folder, watch
        self._stdio = printed
        self._around = around
        self._pristine = around.take() if around is not None else None
        self._kept: dict[str, Snapshot] = {}
        self._last: tuple[str, int] | None = None
        self._jobs: dict[str, Job] = {}
        self._versions: dict[str, str] = {}
        self._async: dict[str, AsyncSlot] = {}
        self._limited: str | None = None
        self._home = folder

    def serve(self) -> None:
        """Run leases until the pipe is closed, or a lease comes that needs a fresh process."""
        try:
            give = self._end.receive()
            while give is not None and self._run(give):
                give = self._end.receive()
        except OSError:  # for example from an event loop whose descriptors a task has closed
            self._end.check()
            raise

    def _run(self, give: Give) -> bool:
        """Run a lease. False: this process must end."""
        row = self._shared_page.rows[give.row]
        row.numbers[POSITION] = PREPARING
        if not (self._fits(give) and self._is_in_order(give)):
            return self._leave(give)
        cold = give.lease.job not in self._jobs
        reporter = Reporter(give, row, self._end.send, self._stdio)
        if not self._enter(give, reporter) or (job := self._prepared(give, reporter)) is None:
            return False
        if give.lease.version not in ("", job.version):  # the file has just changed
            return self._leave(give)
        if cold and give.lease.limited:  # it would start late, and the next one will not
            reporter.release()
            return True
        self._stdio.begin(give.lease.number, row)
        _trace(give.lease.traceparent)
        if give.lease.job in self._async:
            return self._async[give.lease.job].run(give)
        payloads, fine = payloads_of(give.lease)
        work = job.work if fine else careful(job.work)
        self._watch.reporter = reporter
        running.set(partial(_current, give.lease, row))
        # Alone: each is reported before the next starts, so it is known which one broke a pipe.
        run_lease(give.lease, payloads, work, row, reporter, 0.0 if give.alone else FLUSH_S)
        self._watch.reporter = None
        return True

    def _leave(self, give: Give) -> bool:
        self._end.send(Report(give.lease.number, [], leaving=True))
        return False

    def _enter(self, give: Give, reporter: Reporter) -> bool:
        """Enter the environment of a lease, in which this process then begins anew.

        False: that has failed, which was reported.
        """
        if give.environment == self._environment:
            return True
        try:
            self._become(give)
        except OSError as error:
            reporter.release(f"its environment can't be used: {error}")
            return False
        return True

    def _fits(self, give: Give) -> bool:
        name = give.lease.job
        if give.environment != self._environment and (self._environment or self._jobs):
            return False
        if self._limited is not None and self._limited != name:
            return False
        folder = Path(give.folder) if give.folder else self._home
        if folder != self._folder:
            if self._jobs:  # later imports of these jobs would find files of another folder
                return False
            self._folder = folder
        return self._versions.get(name, give.version) == give.version

    def _is_in_order(self, give: Give) -> bool:
        """Put back what tasks of another run have changed. False: only a fresh process will do."""
        last, self._last = self._last, (give.lease.job, give.lease.run)
        if self._around is None or self._pristine is None or last in (None, self._last):
            return True
        return self._around.put_back(self._kept.get(give.lease.job, self._pristine))

    def _prepared(self, give: Give, reporter: Reporter) -> Job | None:
        """The job, imported and set up; None when that failed, which was reported."""
        name = give.lease.job
        job = self._jobs.get(name)
        if job is None:
            try:
                job = self._prepare(name, give.lease.version if give.folder else "")
            except BaseException as error:
                sys.stderr.flush()
                reporter.release(_why(name, self._folder, error))
                return None
            self._end.check()  # what import and `setup()` did to the pipe is no task's fault
            self._jobs[name], self._versions[name] = job, job.version
            if self._around is not None:  # what import and `setup()` have made stays for all runs
                self._kept[name] = self._around.take()
        return job

    def _prepare(self, name: str, version: str) -> Job:
        """Import and set up a job. version: of a folder that has one version alone; else empty."""
        job = load_job(name, self._folder, version)
        if inspect.iscoroutinefunction(job.work):
            from .async_slot import AsyncSlot

            self._async[name] = AsyncSlot(job, self._end, self._shared_page)
            self._async[name].set_up()
        elif job.setup is not None:
            job.setup()
        if job.options.memory_bytes is not None:
            self._limited = name
            _limit_memory(job.options.memory_bytes)
        return job


def _trace(traceparent: str) -> None:
    """Set the variable TRACEPARENT to that of the run whose tasks begin, or remove it.

    In an async slot it is that of the lease that came last; `current_task` knows each task's own.
    """
    if traceparent:
        os.environ[TRACE_VARIABLE] = traceparent
    else:
        os.environ.pop(TRACE_VARIABLE, None)


def _current(lease: Lease, row: Row) -> CurrentTask:
    """The task of a lease that runs now."""
    task = lease.first + row.numbers[POSITION]
    return CurrentTask(lease.run, task, lease.attempts + 1, lease.reason, lease.traceparent)


def _why(name: str, folder: Path, error: BaseException) -> str:
    """One line for an exception of import or `setup`; the traceback is for the log."""
    if isinstance(error, JobError):
        return _lacks(error.__cause__, is_uploaded(name, folder)) or str(error)
    print(harmless("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    frames = traceback.extract_tb(error.__traceback__)
    line = f" line {frames[-1].lineno}" if frames else ""
    return f"{name}.setup(){line}: {one_line(error)}"


def _lacks(cause: BaseException | None, uploaded: bool) -> str:
    """What to do about a library that is not installed here. uploaded: a client sent the job."""
    if not isinstance(cause, ModuleNotFoundError) or not cause.name:
        return ""
    library = cause.name.partition(".")[0]
    if library == "jobs":
        return ""
    if uploaded:  # its client has it, and may have no folder of jobs
        return f"lacks {library}, which that function imports: install it where this worker runs"
    return f"lacks {library}: rebuild with jobs/requirements.txt"


def _limit_memory(memory_bytes: int) -> None:
    """Limit the private writable memory of this process (RLIMIT_DATA, since Linux 4.7).

    RLIMIT_AS would limit addresses: CUDA reserves more of them than any machine has memory, and
    files that are mapped, such as a model's weights, take only memory that the kernel can reclaim.
    """
    import resource

    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        memory_bytes = min(memory_bytes, hard)
    resource.setrlimit(kind, (memory_bytes, hard))


def _go_first() -> None:
    """Have the kernel end a slot when memory runs out; the slot's task is charged then.

    By size alone it may end the supervisor, and all slots with it (proc_pid_oom_score_adj(5)).
    """
    with contextlib.suppress(OSError):  # not on macOS
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def main(args: list[str]) -> int:
    """`python -m worker.slot.main PIPE PAGE SUPERVISOR FOLDER [ENVIRONMENT ORDERS]`.

    PIPE, PAGE and ORDERS are descriptors. The last two are those of a slot that was another process
    before (`environment`).
    """
    pipe, shared_page, supervisor = (int(arg) for arg in args[:3])
    die_with(supervisor)
    _go_first()
    os.set_inheritable(pipe, False)
    os.set_inheritable(shared_page, False)
    faulthandler.enable()  # a segfault leaves its Python stack in the evidence
    sys.argv = sys.argv[:1]
    watch = Watch(lambda: os.getppid() != supervisor, lambda: os._exit(0))
    watch.start()
    memory = SharedPage(shared_page)
    printed = Stdio(memory)
    printed.install()  # so that output of `work` shows at once
    environment, before = "", b""
    if args[4:]:
        environment, before = args[4], handed_over(int(args[5]))
        hold_own()
    end, folder = SlotEnd(socket.socket(fileno=pipe), before), Path(args[3])
    around = Surroundings(printed)
    entered = partial(become, args, end)
    Slot(end, memory, folder, watch, printed, around, environment, entered).serve()
    gc.freeze()  # looking for garbage once more would be the longest part of the end
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
