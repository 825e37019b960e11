"""Begins the runs that programs ask for, and hands each to its runner.

Owns the listeners that are told when a run begins, ends or is gone. Tasks come in through
`submits`, outcomes go out through `pages`.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from queue_manager.errors import RefusedError
from queue_manager.log_lines import about_run
from queue_manager.server.connection import Peer
from queue_manager.terminal import harmless_line
from queue_manager.wire.limits import printable
from queue_manager.wire.messages import OpenRun, RunOpened, StartRun
from queue_manager.wire.records import RunOptions

from ...broker.runs.chains import in_words
from ...broker.runs.run import Run
from ...changes import Changes, GivenArguments
from ...observe.chain_text import held_up_by, why_pending
from ...reads import ReadRequest
from ...turn.answer import Awaited, PeerReply
from ...turn.known import Known
from ...turn.run_lookup import find_run, restored
from ...turn.steps import Publish, Step
from ...turn.turn import Turn
from ..dispatch import OurSession
from .asked import (
    KeyTakenError,
    check_asked,
    check_kind,
    not_in_memory,
    other_code,
    predecessors,
    same_arguments,
)
from .feeders import Feeders

log = logging.getLogger("quartermaster.master")

RunListener = Callable[[Run], None]

_FEEDERS = {
    "runner": "a runner gives its tasks",
    "client": "a client gives its tasks",
    "clients": "clients give its tasks",
    "results": "results of other runs are its tasks",
}


class Besides(NamedTuple):
    """What goes to disk together with the start of a run.

    check: is called before anything is staged, and may raise RefusedError. stage: is given the run.
    only_known: there was a run with the key, and no new one may begin.
    """

    check: Callable[[], None]
    stage: Callable[[Run], None]
    only_known: bool = False


class Runs:
    """Begins runs, finds them by key, and answers `OpenRun`.

    on_started, on_ended: are told of each run. on_held_up: is told of each run that waits for one
    that has not ended well. on_gone: is told the number of each run that was
    forgotten or pruned. on_opened: is told the run and the process id of a runner that takes up its
    run. on_lost: is told the same when the session of that runner has ended. on_taken_up: is told
    of each run that a session opens.
    """

    def __init__(self, turn: Turn, feeders: Feeders) -> None:
        self._turn = turn
        self._feeders = feeders
        self.on_started: list[RunListener] = []
        self.on_ended: list[RunListener] = []
        self.on_held_up: list[RunListener] = []
        self.on_gone: list[Callable[[int], None]] = []
        self.on_taken_up: list[Callable[[Run, Peer], None]] = []
        self.on_opened: list[Callable[[int, int], None]] = []
        self.on_lost: list[Callable[[int, int], None]] = []
        self._opened: dict[Peer, tuple[int, int]] = {}

    # --- a run begins ---

    async def find(self, ask: StartRun, peer: Peer | None = None) -> Run | None:
        """The run with the key that is asked for, if it is to take nothing new of the request.

        peer: the session that asks.

        Raises RefusedError when that run has another job or other arguments, is just being
        forgotten or fed by another program, or when the key or the arguments are too large.
        """
        check_asked(ask)
        if ask.key is None:
            return None
        known = await self._turn.read(ReadRequest(run_keys={ask.key}))
        run = self._with_key(known, ask)
        if run is None:
            return None
        self._feeders.check_free(run, peer)
        if ask.inputs_only and not run.options.inputs_only:
            return None
        self._feeders.asked(run, peer)
        return run

    async def with_key(self, key: str) -> Run:
        """The run with a key. Raises RefusedError if there is none."""
        known = await self._turn.read(ReadRequest(run_keys={key}))
        run = restored(self._turn, known.run_of_key(key)) or self._staged(key)
        if run is None:
            raise RefusedError(f"no run has the key {printable(key)!r}")
        return run

    async def start(
        self,
        ask: StartRun,
        options: RunOptions,
        version: str = "",
        arguments: GivenArguments | None = None,
        peer: Peer | None = None,
        besides: Besides | None = None,
    ) -> tuple[Run, bool]:
        """Begin a run, or find the one with that key; its job and arguments were checked before.

        arguments: those of the request that are values. peer: the session that asks. A run with
        that key takes code that comes with the request, as a run of a file takes the file when that
        changes.

        Returns the run, and whether it is new. Raises RefusedError as `find` does, or when the
        store can't take it.
        """
        check_asked(ask)

        def needs(known: Known) -> Iterator[ReadRequest]:
            keys = set() if ask.key is None else {ask.key}
            yield ReadRequest(run_keys=keys, runs=not_in_memory(self._turn, ask.after))

        def stage(now: float, wall: float) -> Publish:
            present = self._with_key(self._turn.known, ask)
            if besides is not None:
                besides.check()
                if present is None and besides.only_known:
                    raise RefusedError(f"the run with the key {ask.key!r} is gone")
                if present is not None:
                    besides.stage(present)
                    return lambda: (present, False)
            if present is not None:
                changed = other_code(present, ask, version)
                self._feeders.check_free(present, peer, other_code=changed)
                self._asked(present, peer)
                return self._take(present, ask, options, version, changed=changed)
            after = predecessors(self._turn, ask.after)
            start_run = self._turn.broker.start_run
            job = ask.job, ask.args, ask.key
            trace = ask.traceparent
            run = start_run(*job, options, wall, version, arguments, after, ask.code, trace)
            self._asked(run, peer)
            if besides is not None:
                besides.stage(run)
            return partial(self._started, run, run.pending)

        reply: Awaited[tuple[Run, bool]] = Awaited()
        size_bytes = sum(map(len, (ask.code or {}).values())) + len(ask.arguments)
        self._turn.post(Step(stage, reply, needs, size_bytes=size_bytes))
        return await reply.answer

    def older(self, run: Run, ask: StartRun, version: str) -> int:
        """How many results a run has, if some of them may be of other code than was asked for.

        It says so as long as there are such results, not only to who has brought the new code.
        """
        return run.done if run.options.mixed or other_code(run, ask, version) else 0

    def _asked(self, run: Run, peer: Peer | None) -> None:
        self._feeders.asked(run, peer)
        self._turn.undo.undo_by(partial(self._feeders.unasked, run, peer))

    def _take(
        self, run: Run, ask: StartRun, options: RunOptions, version: str, *, changed: bool
    ) -> Publish:
        """Have a run take code that was uploaded again, and that its tasks are inputs only.

        changed: as `other_code` says.
        """
        old, code = run.version, ask.code
        if code is None:
            options, version = run.options, old
        inputs_only = run.options.inputs_only or ask.inputs_only
        mixed = run.options.mixed or (changed and bool(run.done or run.leased))
        options = replace(options, inputs_only=inputs_only, mixed=mixed)
        if run.state == "pruned" or (old, run.options) == (version, options):
            return lambda: (run, False)
        self._turn.broker.set_code(run, version, options, code)

        def taken() -> tuple[Run, bool]:
            if changed:
                what = run.id, run.job, f"{old[:8]} -> {version[:8]}"
                log.info("run %d (%s): its code has changed (%s)", *what, extra=about_run(run))
            return run, False

        return taken

    def _with_key(self, known: Known, ask: StartRun) -> Run | None:
        """The run with a key, on disk or staged. Raises RefusedError as `find` does."""
        key = ask.key
        if key is None:
            return None
        run = restored(self._turn, known.run_of_key(key)) or self._staged(key)
        if run is None:
            return None
        if run.uploaded != (ask.code is not None):
            whose = "a client has sent its code" if run.uploaded else "its code is a file in jobs/"
            raise KeyTakenError(run, f", and {whose}")
        same = (run.job, sorted(run.args)) == (ask.job, sorted(ask.args))
        if not same or not same_arguments(run.arguments.body, ask.arguments):
            # What was given as values is shown as Python has it, and no shell reads it.
            asked = " ".join([shlex.join([run.job, *run.args]), *run.arguments.shown])
            raise KeyTakenError(run, f" ({asked})")
        if set(run.after) != set(ask.after):
            others = f"after {in_words(run.after)}" if run.after else "after no other run"
            raise KeyTakenError(run, f", which is {others}")
        if run.options.feeder != ask.feeder:
            who = _FEEDERS[run.options.feeder]
            raise KeyTakenError(run, f", and {who}")
        check_kind(run, ask)
        if run.id in self._turn.broker.changes.forgotten:
            raise RefusedError(f"run {run.id} is just being forgotten: ask again")
        return run

    def _staged(self, key: str) -> Run | None:
        staged = (run.id for run in self._turn.broker.changes.runs.values() if run.key == key)
        return next((self._turn.broker.recall(run) for run in staged), None)

    def _started(self, run: Run, pending: bool) -> tuple[Run, bool]:
        """A new run is on disk. pending: it was to wait for others when it was staged."""
        what = harmless_line(" ".join([run.job, *run.all_args]))
        if pending:  # if it has begun in the same turn, `after_commit` says so
            waits = why_pending(self._turn, run) or "begins at once"
            log.info("run %d (%s) %s", run.id, what, waits, extra=about_run(run))
        else:
            log.info("run %d (%s) started", run.id, what, extra=about_run(run))
            self._tell_started(run)
        return run, True

    def _tell_started(self, run: Run) -> None:
        for listener in self.on_started:
            listener(run)

    # --- who feeds it ---

    def open(self, reply: PeerReply, message: OpenRun) -> None:
        """A runner or a client takes up its run. The answer counts what was submitted before.

        Raises RefusedError if another program feeds it.
        """
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
                run.options.feeder,
                run.arguments.body,
                run.after,
                run.traceparent,
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
        """Tell of the runs that this turn has begun, ended or removed."""
        pruned = {run_id for run_id, record in changes.runs.items() if record.state == "pruned"}
        for run_id in changes.forgotten | pruned:
            for gone in self.on_gone:
                gone(run_id)
        for run in self._present(changes.ended - changes.forgotten):
            for listener in self.on_ended:
                listener(run)
            if run.state != "done":
                self._tell_behind(run)
        for run in self._present(changes.begun):
            done = f"{in_words(run.after)} {'are' if len(run.after) > 1 else 'is'} done"
            log.info("run %d (%s) begins: %s", run.id, run.job, done, extra=about_run(run))
            self._tell_started(run)

    def _present(self, numbers: Iterable[int]) -> Iterator[Run]:
        runs = (self._turn.broker.recall(number) for number in sorted(numbers))
        return (run for run in runs if run is not None)

    def _tell_behind(self, run: Run) -> None:
        """A run has not ended well: those that wait for it say so from now on."""
        behind = self._turn.broker.chains.waiting(run.id)
        if behind:
            they = in_words([later.id for later in behind])
            why = held_up_by(run, behind[0].id)
            log.warning("%s can't begin: %s", they, why, extra=about_run(behind[0]))
        for later in behind:
            for listener in self.on_held_up:
                listener(later)
