"""The service: puts store, broker, faces, runners and the listening loop together."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from queue_manager import __version__, health
from queue_manager.authkey import installation_salt
from queue_manager.errors import RefusedError, SettingsError
from queue_manager.job.tags import CHARACTERS, is_tag
from queue_manager.server.connection import Peer
from queue_manager.server.manager import QueueManager, serving
from queue_manager.settings import Settings, others_reach
from queue_manager.wire.masters import MasterStatus
from queue_manager.wire.messages import (
    LEVEL,
    AddSchedule,
    AskCode,
    AskFailures,
    AskHistory,
    AskJobs,
    AskLetters,
    AskMetrics,
    AskResults,
    AskRun,
    AskRuns,
    AskSchedules,
    AskSessions,
    AskStatus,
    AskTask,
    AskTasks,
    CancelRun,
    ChangeSchedule,
    Collect,
    Collected,
    Finished,
    ForgetRun,
    OpenRun,
    Printed,
    RetryRun,
    RunStarted,
    StartRun,
    SubmitTasks,
    TasksEnded,
    WatchRun,
    Welcome,
)
from queue_manager.wire.tls import master_mode

from ..backup.states import CopyState, read_copies
from ..broker import Broker
from ..broker.runs.run import Run
from ..changes import QUEUE_RUN
from ..jobs.code_server import JobCodeServer
from ..jobs.job_views import JobViews
from ..jobs.pythons import Pythons, environments_of
from ..jobs.uploads import Uploads
from ..jobs.versions import JobFiles, Versions
from ..measure.history import HistoryKeeper
from ..observe.failures import FailureLog
from ..observe.metrics import MetricsBuilder
from ..observe.status import StatusBuilder
from ..processes.child_watcher import watch_children_by_pidfd
from ..processes.runner import Runner
from ..processes.runners import Runners, uncollected
from ..standby.holding import Holding
from ..stock import ResultQueue, Rounds, StockSession, StockSessions, TaskQueue
from ..stock.delivery import Delivery
from ..store.contract import Store
from ..store.sqlite.engine import SqliteStore
from ..tally.histogram import WORK_BOUNDS_S, Histogram
from ..turn.answer import PeerReply, Replying, guarded, log_failure
from ..turn.turn import Turn
from .clock import ClockWatch, boot_number
from .dispatch import ExchangeFace, Handlers, OurSession
from .failure_views import FailureViews
from .pages import Pages
from .printed import PrintedTexts
from .pruning import Pruning
from .run_views import RunViews
from .runs.admission import Admission
from .runs.asked import made_of_arguments
from .runs.feeders import Feeders
from .runs.run_control import RunControl
from .runs.runs import Runs
from .runs.submits import Submits
from .runs.unlasting import Unlasting
from .scheduling import Scheduling
from .subscriptions import Subscriptions
from .task_lists import TaskLists
from .task_views import TaskViews
from .workers.outcomes import Outcomes
from .workers.session import WorkerSession
from .workers.workers import Workers

log = logging.getLogger("quartermaster.master")

TICK_S = 1.0
KNOWN_WORKERS_S = 5.0
"""How long a restarted master waits for the workers that it knew: they hold leases.

It counts from the first worker that comes. A worker tries again after 4 s at most."""

HAND_OVER_S = 0.2
"""How long runners have to end where another master waits for the queue."""


class Service:
    """A master that serves. `start` in a running loop, then `stop`.

    listening: the number of a socket that listens already, in the place of QUEUE_BIND and
    QUEUE_PORT. holding: the ownership of a store that masters share; without it the store is that
    of MASTER_DATA. client_environment: the variables by which a child process reaches it.

    Raises (when it is made):
        StoreError: the data folder can't be used, or another master has it.
        SettingsError: the address can't be listened on.
    """

    def __init__(
        self,
        settings: Settings,
        authkey: bytes,
        listening: int | None = None,
        holding: Holding | None = None,
    ) -> None:
        self.settings = settings
        self._holding = holding
        self._listening = listening
        self.started = time.monotonic()
        self._replying = Replying()
        self.store: Store = holding.open_store() if holding else SqliteStore(settings.master_data)
        try:
            self._assemble(settings, authkey)
        except BaseException:
            self.store.close()
            raise

    def _assemble(self, settings: Settings, authkey: bytes) -> None:
        self.broker = Broker(self.store.epoch, settings.job or "", random.Random())
        self._restore()
        self.turn = Turn(self.broker, self.store)
        most, store = settings.queue_max_bytes, self.store.identity
        self._welcome = Welcome(__version__, most, level=LEVEL, store=store)
        self._next_id = functools.partial(next, itertools.count(1))
        self._failures = FailureLog()
        self._make_sessions()
        tasks, results = self._make_queues()
        self._handlers: dict[type, Callable[[PeerReply, Any], None]] = {}
        self._exchange = ExchangeFace(
            self._workers, self._next_id, self._handlers, self._closed, self._welcome
        )
        # Stock clients before our workers: they take one task each and would get none behind them.
        self.turn.followers += [tasks, self._workers, results, self._pages, self._submits]
        self.turn.followers += [self._feeders, self.runs, self._pruning, self.subscriptions]
        self._printed = PrintedTexts()
        self.turn.followers += [self._failures, self._printed]
        self._listen(serving(tasks, results, self._exchange, settings.queue_names), authkey)
        self._make_runners(authkey)
        self._handlers.update(self._all_handlers())

    def _make_sessions(self) -> None:
        """Make the rooms that our own sessions speak to."""
        turn, settings = self.turn, self.settings
        admission = Admission(turn)
        outcomes = Outcomes(turn, admission, self._failures)
        self._workers = Workers(turn, outcomes, self._welcome)
        self._feeders = Feeders()
        self.runs = Runs(turn, self._feeders)
        self._submits = Submits(turn, admission, self._feeders)
        self._pages = Pages(turn, self._feeders)
        environments = environments_of(settings)
        self._pythons = Pythons(settings.jobs_folder, environments)
        self.versions = Versions(turn, JobFiles(settings.jobs_folder, self._pythons))
        self.versions.on_changed.append(self._code_changed)
        self._uploads = Uploads(settings)
        outcomes.on_lacks.append(self.versions.worker_mismatch)
        self._schedules = Scheduling(turn, self.runs, self.versions, settings.jobs_folder)
        self.status = StatusBuilder(turn, self)
        self.loop = Histogram(WORK_BOUNDS_S)
        self.metrics = MetricsBuilder(turn, self)
        self.subscriptions = Subscriptions(turn, self.status.watched)
        self._history = HistoryKeeper(turn)

    def _make_queues(self) -> tuple[TaskQueue, ResultQueue]:
        """Make the two queues that stock clients see, and the pruning of what is old in them."""
        turn, settings = self.turn, self.settings
        self._stock = StockSessions(turn, self._next_id)
        delivery = Delivery(turn)
        rounds = Rounds(turn, self._stock, self._failures, settings.queue_stock_ack)
        shared = (turn, self._stock, delivery, settings.queue_max_bytes, rounds)
        tasks, results = TaskQueue(*shared), ResultQueue(*shared)
        self._pruning = Pruning(turn, settings.queue_keep_days, delivery)
        self._pruning.clock = self._clock
        self._pruning.queue.on_letters = tasks.letters_pruned
        return tasks, results

    def _listen(self, manager: type[QueueManager], authkey: bytes) -> None:
        """Bind the address. Raises SettingsError when it can't be listened on."""
        settings = self.settings
        where = (settings.queue_bind, settings.queue_port)
        try:
            mode = master_mode(settings)
            salt = installation_salt(settings)
            made = manager(
                where,
                authkey,
                max_bytes=settings.queue_max_bytes,
                tls=mode,
                salt=salt,
                listening=self._listening,
            )
            self.server = made.get_server()
        except OSError as error:
            raise SettingsError(
                f"QUEUE_BIND={where[0]}, QUEUE_PORT={where[1]}: can't listen there:"
                f" {error.strerror or error}"
            ) from error
        self.server.is_late = lambda: self.turn.behind

    def _make_runners(self, authkey: bytes) -> None:
        """Make what keeps the runners alive, and have it told of runs."""
        host, port = self.server.address
        self.address = f"{host}:{port}"
        self.client_environment = {
            "QUEUE_HOST": "127.0.0.1" if host in ("0.0.0.0", "::") else host,
            "QUEUE_PORT": str(port),
            # Children connect within this machine, whatever the address is, and have this Python.
            "QUEUE_TLS": "off" if self.server.plain_only else "required",
            "QUEUE_AUTHKEY": authkey.decode("utf-8", "surrogateescape"),
        }
        told = self.server.keys_told
        reach = self.client_environment
        self.runners = Runners(reach, self._pages.idle, told, self._pythons.for_run)
        self.runners.on_stalled.append(lambda run, _: self.subscriptions.changed(run))
        self.runs.on_started.append(self.runners.start)
        self.runs.on_ended.append(self.runners.run_ended)
        self.runs.on_held_up.append(self.subscriptions.changed)
        self.runs.on_gone.append(self.runners.gone)
        self.runs.on_opened.append(self.runners.opened)
        self.runs.on_lost.append(self.runners.lost)
        self._pruning.lives = lambda run: self.runners.lives(run) or self._feeders.connected(run)

    def _all_handlers(self) -> Handlers:
        """The handler of each message of our own sessions."""
        views, failures = TaskViews(self.turn, self), FailureViews(self.turn)
        one_machine = not others_reach(self.settings)
        code = JobCodeServer(self.settings.jobs_folder, self.turn, one_machine)
        control = RunControl(self.turn, self._workers, self.runners, self.versions)
        self._unlasting = Unlasting(self.turn, control)
        self.runs.on_started.append(self._unlasting.started)
        self.runs.on_taken_up += [self._unlasting.opened, self._submits.taken_up]
        self.turn.followers.append(self._unlasting)
        return {
            StartRun: self._start_run,
            OpenRun: self.runs.open,
            SubmitTasks: self._submits.submit,
            TasksEnded: self._submits.tasks_ended,
            Collect: self._pages.collect,
            Collected: self._pages.collected,
            Printed: self._printed.take,
            Finished: self._pages.finished,
            AskResults: views.results,
            AskTask: views.show,
            AskTasks: TaskLists(self.turn, self).show,
            AskStatus: lambda reply, ask: reply.send(self.status.summary(ask)),
            AskRun: RunViews(self.status, self.runs, self._printed).show,
            WatchRun: self.subscriptions.watch,
            AskRuns: lambda reply, ask: reply.send(self.status.runs(ask)),
            AskMetrics: lambda reply, ask: reply.send(self.metrics.answer(ask)),
            AskSessions: lambda reply, ask: reply.send(self.status.sessions(ask)),
            RetryRun: control.retry,
            CancelRun: control.cancel,
            ForgetRun: control.forget,
            AskCode: code.ask,
            AskJobs: JobViews(self.settings.jobs_folder, self._pythons).show,
            AddSchedule: self._schedules.add,
            ChangeSchedule: self._schedules.change,
            AskSchedules: self._schedules.show,
            AskHistory: self._history.show,
            AskFailures: failures.groups,
            AskLetters: failures.letters,
        }

    def _closed(self, peer: Peer) -> None:
        """A session of ours has ended."""
        rooms = (self._pages, self._submits, self._feeders, self.runs, self.subscriptions)
        for room in (*rooms, self._unlasting):
            room.closed(peer)

    def _restore(self) -> None:
        now, wall = time.monotonic(), time.time()
        self._clock = ClockWatch(self.store, now, wall, self.store.clock_seen)
        self.store.set_clock(boot_number(), wall - now, wall)
        self.store.cap_delays(wall)
        for loaded in self.store.load():
            run = self.broker.restore(loaded, now, wall)
            if run.id == QUEUE_RUN:
                run.job = self.settings.job or ""
        self.broker.next_run = self.store.next_run
        self.broker.next_block = self.store.next_block
        self.broker.next_seq = self.store.next_seq
        self.broker.tally.begin(self.store.accepted_marks(), self.store.next_block, now, wall)
        self.broker.committed()

    def start(self) -> None:
        """Listen, take up unfinished runs, and keep the health file young."""
        watch_children_by_pidfd()
        self.server.start()
        where = self._holding.store_shown if self._holding else self.settings.master_data
        log.info("listening on %s, store in %s", self.address, where)
        if others_reach(self.settings) and not self.server.encrypted_only:
            who = "nobody encrypts" if self.server.plain_only else "stock clients do not encrypt"
            log.warning("other machines can reach it, and %s: see QUEUE_TLS=required", who)
        for run in list(self.broker.runs.values()):
            if run.id != QUEUE_RUN and (run.active or uncollected(run)):
                self.runners.start(run, urgent=False)
        self._unlasting.restarted()
        self._history.begin()
        self.broker.await_known_workers(self.store.workers, KNOWN_WORKERS_S)
        self.turn.wake()
        self._ticking = asyncio.get_running_loop().create_task(self._tick())
        self._ticking.add_done_callback(log_failure)  # then the health file grows old

    async def stop(self) -> None:
        """Close in good order; nothing that was acknowledged is lost."""
        self._ticking.cancel()
        self._schedules.stop()
        self.versions.stop()
        self._pythons.close()
        self.subscriptions.stop()
        self._pruning.stop()
        if self._holding and self._holding.has_standby():
            await self.runners.stop(HAND_OVER_S)
        else:
            await self.runners.stop()
        await self.turn.stop()
        self.server.stop()
        await asyncio.sleep(0)  # sessions end, which confirms the results that were sent to them
        await self.turn.write_rest()
        self.store.close()

    async def submit(self, ask: StartRun, peer: Peer | None = None) -> tuple[Run, bool]:
        """Begin a run of a job, or find the one with that key. Returns it, and whether it is new.

        peer: the session that asks, if it is one.

        Raises RefusedError with one line when the job or its arguments are wrong.
        """
        run = await self.runs.find(ask, peer)
        if run is not None:
            return run, False
        if ask.feeder == "runner" and not ask.after:
            self.runners.prepare()  # it gets ready while the job is looked at
        is_new = False
        try:
            version, options, given, key = await self.versions.check_for_submit(ask)
            options = replace(options, lasting=ask.lasting, inputs_only=ask.inputs_only)
            if ask.options is not None:
                fewer = max(1, min(options.attempts, ask.options.attempts))
                options = replace(options, attempts=fewer)
            if key and ask.key is None:
                ask = replace(ask, key=key)
                with made_of_arguments():
                    run = await self.runs.find(ask, peer)
                if run is not None:
                    return run, False
            run, is_new = await self.runs.start(ask, options, version, given, peer)
        finally:
            if not is_new:
                self.runners.dismiss()
        return run, is_new

    def _start_run(self, reply: PeerReply, message: StartRun) -> None:
        self._replying.begin(reply, self._started(reply.peer, message))

    async def _started(self, peer: Peer, message: StartRun) -> RunStarted:
        if not all(map(is_tag, message.needs)):
            raise RefusedError(f"needs {message.needs!r:.200}: a tag has {CHARACTERS} alone")
        if message.code is None:
            run, is_new = await self.submit(message, peer)
            key = "" if message.key else run.key or ""
            return RunStarted(message.seq, run.id, is_new, key=key)
        version, options = self._uploads.check(peer, message)
        run, is_new = await self.runs.start(message, options, version, peer=peer)
        older = self.runs.older(run, message, version)
        return RunStarted(message.seq, run.id, is_new, older)

    async def _tick(self) -> None:
        complaint = ""
        while True:
            try:
                health.touch(self.settings.health_file)
            except OSError as error:  # a full disk must not end this loop: the file grows old
                if str(error) != complaint:
                    complaint = str(error)
                    log.warning("can't touch HEALTH_FILE: %s", error)
            now = time.monotonic()
            for act in (
                self._workers.tick,
                self.versions.tick,
                self.status.waits.tick,
                self._unlasting.tick,
                self._schedules.tick,
                self._history.tick,
            ):
                guarded(functools.partial(act, now))
            if not self.turn.is_waiting:  # the store may be writing
                guarded(functools.partial(self._clock.tick, now, self.turn.wall, time.time()))
            guarded(functools.partial(self._pruning.tick, now, self.turn.wall))
            guarded(self.server.relieve)
            guarded(self._pythons.tick)
            planned = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self.loop.observe(time.monotonic() - planned)

    def _code_changed(self, job: str, runs: list[Run]) -> None:
        """Offer the job to workers again, and give stalled runners another chance."""
        self._workers.code_changed(job)
        for run in runs:
            runner = self.runners.all.get(run.id)
            if runner is not None and runner.stalled and run.active:
                self.runners.start(run)

    # --- the sources of a status ---

    def workers(self) -> Iterable[WorkerSession]:
        return self._workers.sessions.values()

    def stock(self) -> Iterable[StockSession]:
        return self._stock.all.values()

    def others(self) -> Iterable[OurSession]:
        return self._exchange.others.values()

    def runner(self, run: int) -> Runner | None:
        return self.runners.all.get(run)

    def fed(self, run: Run) -> bool:
        return self._feeders.connected(run)

    def runner_deaths(self) -> int:
        return self.runners.deaths

    def schedules_skipped(self) -> int:
        return self._schedules.skipped

    def schedule_troubles(self) -> list[str]:
        return self._schedules.troubles()

    def copies(self) -> list[CopyState]:
        return read_copies(self.settings.master_data)

    def masters(self) -> list[MasterStatus]:
        return self._holding.masters() if self._holding else []

    def job_trouble(self, job: str) -> str:
        return self.versions.trouble.get(job, "")
