"""Begins the runs that programs ask for, and hands each to its runner.

Owns the listeners that are told when a run begins, ends or is gone. Tasks come in through
`submits`, outcomes go out through `pages`.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterator
from functools import partial

from queue_manager.errors import RefusedError
from queue_manager.server.connection import Peer
from queue_manager.terminal import harmless_line
from queue_manager.wire.limits import ARGS, ARGS_BYTES, KEY_BYTES, printable
from queue_manager.wire.messages import OpenRun, RunOpened
from queue_manager.wire.records import Feeder, RunOptions

from ...broker.run import Run
from ...changes import Changes
from ...reads import ReadRequest
from ...turn.answer import Awaited, PeerReply
from ...turn.known import Known
from ...turn.run_lookup import find_run, restored
from ...turn.steps import Publish, Step
from ...turn.turn import Turn
from ..dispatch import OurSession
from .feeders import Feeders

log = logging.getLogger("quartermaster.master")

RunListener = Callable[[Run], None]


class Runs:
    """Begins runs, finds them by key, and answers `OpenRun`.

    on_started, on_ended: are told of each run. on_gone: is told the number of each run that was
    forgotten or pruned. on_opened: is told the run and the process id of a runner that takes up its
    run. on_lost: is told the same when the session of that runner has ended. on_taken_up: is told
    of each run that a session opens.
    """

    def __init__(self, turn: Turn, feeders: Feeders) -> None:
        self._turn = turn
        self._feeders = feeders
        self.on_started: list[RunListener] = []
        self.on_ended: list[RunListener] = []
        self.on_gone: list[Callable[[int], None]] = []
        self.on_taken_up: list[Callable[[Run, Peer], None]] = []
        self.on_opened: list[Callable[[int, int], None]] = []
        self.on_lost: list[Callable[[int, int], None]] = []
        self._opened: dict[Peer, tuple[int, int]] = {}

    # --- a run begins ---

    async def find(
        self, key: str | None, job: str, args: list[str], feeder: Feeder = "runner"
    ) -> Run | None:
        """The run with a key.

        Raises RefusedError when that run has another job or other arguments, or is just being
        forgotten, or when the key or the arguments are too large.
        """
        _check_asked(args, key)
        if key is None:
            return None
        known = await self._turn.read(ReadRequest(run_keys={key}))
        return self._with_key(known, key, job, args, feeder)

    async def with_key(self, key: str) -> Run:
        """The run with a key. Raises RefusedError if there is none."""
        known = await self._turn.read(ReadRequest(run_keys={key}))
        run = restored(self._turn, known.run_of_key(key)) or self._staged(key)
        if run is None:
            raise RefusedError(f"no run has the key {printable(key)!r}")
        return run

    async def start(
        self,
        job: str,
        args: list[str],
        key: str | None,
        options: RunOptions,
        version: str = "",
    ) -> tuple[Run, bool]:
        """Begin a run, or find the one with that key; its job and arguments were checked before.

        Returns the run, and whether it is new. Raises RefusedError as `find` does, or when the
        store can't take it.
        """

        def needs(known: Known) -> Iterator[ReadRequest]:
            if key is not None:
                yield ReadRequest(run_keys={key})

        def stage(now: float, wall: float) -> Publish:
            present = self._with_key(self._turn.known, key, job, args, options.feeder)
            if present is not None:
                return lambda: (present, False)
            run = self._turn.broker.start_run(job, args, key, options, wall, version)
            return partial(self._started, run)

        reply: Awaited[tuple[Run, bool]] = Awaited()
        self._turn.post(Step(stage, reply, needs))
        return await reply.answer

    def _with_key(
        self, known: Known, key: str | None, job: str, args: list[str], feeder: Feeder
    ) -> Run | None:
        """The run with a key, on disk or staged. Raises RefusedError as `find` does."""
        if key is None:
            return None
        run = restored(self._turn, known.run_of_key(key)) or self._staged(key)
        if run is None:
            return None
        if (run.job, sorted(run.args)) != (job, sorted(args)):
            asked = shlex.join([run.job, *run.args])
            raise RefusedError(
                f"the key {key!r} is that of run {run.id} ({asked}): take another one"
            )
        if run.options.feeder != feeder:
            who = f"a {run.options.feeder} gives its tasks"
            raise RefusedError(
                f"the key {key!r} is that of run {run.id}, and {who}: take another one"
            )
        if run.id in self._turn.broker.changes.forgotten:
            raise RefusedError(f"run {run.id} is just being forgotten: ask again")
        return run

    def _staged(self, key: str) -> Run | None:
        staged = (run.id for run in self._turn.broker.changes.runs.values() if run.key == key)
        return next((self._turn.broker.recall(run) for run in staged), None)

    def _started(self, run: Run) -> tuple[Run, bool]:
        what = harmless_line(" ".join([run.job, *run.args]))
        log.info("run %d (%s) started", run.id, what)
        for listener in self.on_started:
            listener(run)
        return run, True

    # --- who feeds it ---

    def open(self, reply: PeerReply, message: OpenRun) -> None:
        """A runner or a client takes up its run. The answer counts what was submitted before."""
        run = find_run(self._turn, message.run)
        self._feeders.take_up(run, reply.peer)
        for taken_up in self.on_taken_up:
            taken_up(run, reply.peer)
        session = reply.peer.session
        if isinstance(session, OurSession) and session.hello.role == "runner":
            number, pid = self._opened[reply.peer] = run.id, session.hello.pid
            for listener in self.on_opened:
                listener(number, pid)

        def opened() -> RunOpened:
            return RunOpened(
                message.seq,
                run.job,
                run.args,
                run.accepted,
                run.exhausted or not run.active,
                run.collect_cursor.number,
                run.collect_cursor.offset,
            )

        self._turn.post(
            Step(lambda now, wall: opened, reply, retry_on_store_error=True, of=reply.peer)
        )

    def closed(self, peer: Peer) -> None:
        """A session has ended. It may have been that of a runner."""
        opened = self._opened.pop(peer, None)
        if opened is not None:
            for listener in self.on_lost:
                listener(*opened)

    def after_commit(self, changes: Changes, now: float) -> None:
        """Tell of the runs that this turn has ended or removed."""
        pruned = {run_id for run_id, record in changes.runs.items() if record.state == "pruned"}
        for run_id in changes.forgotten | pruned:
            for gone in self.on_gone:
                gone(run_id)
        for run_id in changes.ended - changes.forgotten:
            run = self._turn.broker.recall(run_id)
            for listener in self.on_ended:
                if run is not None:
                    listener(run)


def _check_asked(args: list[str], key: str | None) -> None:
    """Raise RefusedError when the key or the arguments of a run are too large."""
    size = len((key or "").encode())
    if size > KEY_BYTES:
        raise RefusedError(f"the key takes {size:,} bytes, and may take {KEY_BYTES:,}: shorten it")
    many = len(args) > ARGS
    size = 0 if many else sum(len(arg.encode()) for arg in args)
    if many or size > ARGS_BYTES:
        taken = "" if many else f" take {size:,} bytes, and"
        raise RefusedError(
            f"the {len(args):,} arguments{taken} may be {ARGS:,} and take"
            f" {ARGS_BYTES:,} bytes: put them in a file and pass its path"
        )
