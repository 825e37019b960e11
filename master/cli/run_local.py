"""`run`: one run from start to end by itself, with a worker of its own where that is installed."""

from __future__ import annotations

import asyncio
import logging
import shlex
import signal
import socket

import msgspec

from queue_manager.errors import RefusedError, StoreBusyError
from queue_manager.job.loading import job_path
from queue_manager.lifeline import stop_signals
from queue_manager.settings import Settings
from queue_manager.wire.messages import StartRun
from queue_manager.wire.records import RunStatus

from ..broker.runs.run import Run
from ..observe.run_line import ended_line
from ..processes.local_worker import LocalWorker
from ..processes.relay import Relay
from ..processes.runners import uncollected
from ..server.service import Service
from ..standby.where import is_shared
from .text.progress import progress_of

log = logging.getLogger("quartermaster.master")

WAIT_FOR_WORKER_S = 5.0


async def run_alone(
    settings: Settings, authkey: bytes, job: str, args: list[str], worker: LocalWorker | None
) -> int:
    """Serve, work and collect until the run has ended.

    worker: has not begun yet; None where there is none.

    Returns 0 when every task is done, 1 if any is a dead letter or the run is stalled.

    Raises:
        UnknownJobError: there is no such job. Nothing was started.
        RefusedError: a master serves this store, or the job or its arguments are wrong.
    """
    if is_shared(settings):
        raise RefusedError(
            "qm run has its store in MASTER_DATA, and MASTER_STORE is set: start `qm serve`, and"
            f" ask it with `{shlex.join(['qm', 'submit', job, *args, '--wait'])}`"
        )
    job_path(job, settings.jobs_folder.resolve())  # else the log says so twice, as of its JOB
    stop, hurry = _asked(settings.worker_drain_s)
    # The one worker comes and goes with this command, which is no news.
    logging.getLogger("quartermaster.master.workers").setLevel(logging.WARNING)
    settings = msgspec.structs.replace(settings, job=job, queue_port=_port(settings))
    service = _service_of(settings, authkey, [job, *args])
    ended = _Ended()
    service.runners.on_finished.append(lambda run: ended.note(run.id))
    service.runners.on_stalled.append(lambda run, _: ended.note(run.id))
    service.start()
    try:
        if worker is not None:
            _begin_worker(service, worker)
        run = await _begin(service, job, args, ended)
        if worker is not None:
            _let_go(service, run, worker)
        stopped = not await _watch(service, run, ended, stop)
    finally:
        if worker is not None:
            await worker.stop(hurry, settings.worker_drain_s)
        await service.stop()
    return _exit_code(run, stopped)


def _service_of(settings: Settings, authkey: bytes, words: list[str]) -> Service:
    """The service of this command. words: its job and arguments.

    Raises RefusedError if another master has the store.
    """
    try:
        return Service(settings, authkey)
    except StoreBusyError as error:
        again = shlex.join(["qm", "submit", *words, "--wait"])
        raise RefusedError(f"{error}: ask that master instead, with `{again}`") from error


def _begin_worker(service: Service, worker: LocalWorker) -> None:
    # The worker has its own file: its beat must not pass for the master's.
    health = {"HEALTH_FILE": f"{service.settings.health_file}-worker"}
    worker.begin({**service.client_environment, **health}, service.server.keys_told)


def _exit_code(run: Run, stopped: bool) -> int:
    """Say in the log how the run is left. stopped: the command was interrupted."""
    if stopped:
        log.info("stopped; the same command goes on where it was")
        return 130
    if run.active or uncollected(run):
        return 1  # it is stalled, and the log says so
    see = f" See them: qm serve, and beside it qm failed {run.id}." if run.dead else ""
    log.info("%s.%s", ended_line(run.id, run), see)
    return 0 if run.state == "done" else 1


async def _begin(service: Service, job: str, args: list[str], ended: _Ended) -> Run:
    """The unfinished run of the same command, or a new one."""
    for run in service.broker.runs.values():
        unfinished = run.active or uncollected(run)
        by_runner = run.options.feeder == "runner"
        ours = run.id and by_runner and not (run.after or run.arguments.body)
        if unfinished and ours and run.job == job and run.args == args:
            log.info("run %d goes on: %d of %d tasks are done", run.id, run.done, run.tasks)
            return run
    run, _ = await service.submit(StartRun(0, job, args))
    if not (run.active or uncollected(run)):  # the job makes a key of its arguments
        log.info("run %d has the key %r, and has ended before", run.id, run.key)
        ended.note(run.id)
    return run


def _let_go(service: Service, run: Run, worker: LocalWorker) -> None:
    """Have the worker end as soon as the run has no tasks, while `finish()` is called.

    A run with dead letters may be retried until the command ends, and keeps its worker.
    """

    def look(ended: Run) -> None:
        if ended is run and not (run.active or run.dead):
            worker.leave()

    service.runs.on_ended.append(look)
    look(run)  # it may have ended before


class _Ended:
    """The runs that have ended or stalled. The store may also have unfinished runs."""

    def __init__(self) -> None:
        self._runs: set[int] = set()
        self._noted = asyncio.Event()

    def note(self, run: int) -> None:
        """A run has ended or stalled."""
        self._runs.add(run)
        self._noted.set()

    def __contains__(self, run: int) -> bool:
        return run in self._runs

    async def wait(self, run: int) -> None:
        """Wait until this run is one of them."""
        while run not in self._runs:
            self._noted.clear()
            await self._noted.wait()


async def _watch(service: Service, run: Run, ended: _Ended, stop: asyncio.Event) -> bool:
    """Show progress until the run has ended. False: the command was interrupted before."""
    loop = asyncio.get_running_loop()
    late = loop.call_later(WAIT_FOR_WORKER_S, _say_waiting, service, run)
    async with progress_of(run.job) as progress:

        def show(status: Run | RunStatus) -> None:
            progress.show(status.done + status.dead, status.tasks, status.dead)

        service.subscriptions.follow(run, show)
        waits = {asyncio.create_task(ended.wait(run.id)), asyncio.create_task(stop.wait())}
        _, others = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        show(run)
    late.cancel()
    return run.id in ended


def _say_waiting(service: Service, run: Run) -> None:
    if run.active and not service.workers():
        log.info("waiting for a worker: QUEUE_PORT=%d python -m worker", service.server.address[1])


def _asked(drain_s: float) -> tuple[asyncio.Event, asyncio.Event]:
    """Two events: the first SIGTERM or SIGINT sets the first one, the second signal the other.

    A third signal acts as it does in any program. The first one says at once what it does, since
    that takes a while.
    """
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked(number: signal.Signals) -> None:
        if stop.is_set():
            hurry.set()
            loop.remove_signal_handler(number)
        else:
            again = "; Ctrl-C again ends now" * (number == signal.SIGINT)
            line = f"stopping: running tasks get {drain_s:g} s{again}\n"
            Relay().write(line.encode())
        stop.set()

    for number in stop_signals():
        loop.add_signal_handler(number, asked, number)
    return stop, hurry


def _port(settings: Settings) -> int:
    """The port that was set, or 5000, or a free one if 5000 is taken."""
    if settings.queue_port_set:
        return settings.queue_port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.queue_bind, settings.queue_port))
        except OSError:
            return 0
    return settings.queue_port
