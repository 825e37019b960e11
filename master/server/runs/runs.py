"""Runs over the wire: a program asks for a run, and a runner takes it up.

Owns who is told that a run has begun, has ended or is gone. Tasks come in through `submits`,
outcomes go out through `pages`.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterator
from functools import partial

from queue_manager.errors import RefusedError
from queue_manager.server.connection import Peer
from queue_manager.terminal import harmless_line
from queue_manager.wire.limits import ARGS, ARGS_BYTES, KEY_BYTES
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
    """Requests about whole runs.

    on_started, on_ended: are told of each run. on_gone: is told the number of a run that was
    forgotten or pruned. on_opened, on_lost: are told the run and the process id of each runner that
    takes up a run, and of each whose session has ended.
    """

    def __init__(self, turn: Turn, feeders: Feeders) -> None:
        self._turn = turn
        self._feeders = feeders
        self.on_started: list[RunListener] = []
        self.on_ended: list[RunListener] = []
        self.on_gone: list[Callable[[int], None]] = []
        self.on_opened: list[Callable[[int, int], None]] = []
        self.on_lost: list[Callable[[int, int], None]] = []
        self._opened: dict[Peer, tuple[int, int]] = {}

    # --- a run begins ---

    async def find(
        self, key: str | None, job: str, args: list[str], feeder: Feeder = "runner"
    ) -> Run | None:
        """The run with a key.

        Raises RefusedError when that is a run of something else, or is just being forgotten, or
        when the key or the arguments are more than a run may have.
        """
        _check_asked(args, key)
        if key is None:
            return None
        known = await self._turn.read(ReadRequest(run_keys={key}))
        return self._with_key(known, key, job, args, feeder)

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
            found = self._with_key(self._turn.known, key, job, args, options.feeder)
            if found is not None:
                return lambda: (found, False)
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
        found = restored(self._turn, known.run_of_key(key)) or self._staged(key)
        if found is None:
            return None
        if (found.job, sorted(found.args)) != (job, sorted(args)):
            asked = shlex.join([found.job, *found.args])
            raise RefusedError(
                f"the key {key!r} is that of run {found.id} ({asked}): take another one"
            )
        if found.options.feeder != feeder:
            who = f"a {found.options.feeder} gives its tasks"
            raise RefusedError(
                f"the key {key!r} is that of run {found.id}, and {who}: take another one"
            )
        if found.id in self._turn.broker.changes.forgotten:
            raise RefusedError(f"run {found.id} is just being forgotten: ask again")
        return found

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
    """Raise RefusedError when a run is asked for with more than it may have."""
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
