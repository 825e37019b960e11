"""Runs over the wire: a program asks for a run, and a runner takes it up.

Owns who is told that a run has begun, has ended or is gone. Tasks come in through `submits`,
outcomes go out through `pages`.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable
from functools import partial

from queue_manager.errors import RefusedError
from queue_manager.server.connection import Peer
from queue_manager.terminal import harmless_line
from queue_manager.wire.limits import KEY_BYTES, WORDS, WORDS_BYTES
from queue_manager.wire.messages import OpenRun, RunOpened
from queue_manager.wire.records import Feeder, RunOptions

from ..broker.run import Run
from ..changes import Changes
from ..turn.answers import refuse, send
from ..turn.run_lookup import find_run, recall
from ..turn.turn import Answer, Step, Turn
from .dispatch import OurSession
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

    def find(
        self, key: str | None, job: str, words: list[str], feeder: Feeder = "runner"
    ) -> Run | None:
        """The run with a key.

        Raises RefusedError when that is a run of something else, or is just being forgotten, or
        when the key or the words are more than a run may have.
        """
        _check_asked(words, key)
        number = None if key is None else self._turn.store.find_run(key)
        found = None if number is None else recall(self._turn, number)
        found = found or self._staged(key)
        if found is None:
            return None
        if (found.job, sorted(found.words)) != (job, sorted(words)):
            asked = shlex.join([found.job, *found.words])
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

    def start(
        self,
        job: str,
        words: list[str],
        key: str | None,
        options: RunOptions,
        answer: Callable[[Run, bool], None],
        refuse: Callable[[str], None],
        version: str = "",
    ) -> None:
        """Begin a run, or find the one with that key; its job and words were checked before."""

        def stage(now: float, wall: float) -> Answer:
            found = self.find(key, job, words, options.feeder)
            if found is not None:
                return partial(answer, found, False)
            run = self._turn.broker.start_run(job, words, key, options, wall, version)
            return partial(self._started, run, answer)

        self._turn.post(Step(stage, refuse))

    def _staged(self, key: str | None) -> Run | None:
        staged = self._turn.broker.changes.runs.values()
        same = (r.id for r in staged if key is not None and r.key == key)
        return next((recall(self._turn, run) for run in same), None)

    def _started(self, run: Run, answer: Callable[[Run, bool], None]) -> None:
        what = harmless_line(" ".join([run.job, *run.words]))
        log.info("run %d (%s) started", run.id, what)
        answer(run, True)
        for listener in self.on_started:
            listener(run)

    # --- who feeds it ---

    def open(self, peer: Peer, message: OpenRun) -> None:
        """A runner or a client takes up its run. The answer counts what was submitted before."""
        run = find_run(self._turn, message.run)
        self._feeders.take_up(run, peer)
        session = peer.session
        if isinstance(session, OurSession) and session.hello.role == "runner":
            number, pid = self._opened[peer] = run.id, session.hello.pid
            for listener in self.on_opened:
                listener(number, pid)

        def answer() -> None:
            opened = RunOpened(
                message.seq,
                run.job,
                run.words,
                run.accepted,
                run.exhausted or not run.active,
                run.collect_cursor.number,
                run.collect_cursor.offset,
            )
            send(peer, opened)

        self._turn.post(
            Step(
                lambda now, wall: answer,
                partial(refuse, peer, message.seq),
                waits=True,
                of=peer,
            )
        )

    def closed(self, peer: Peer) -> None:
        """A session has ended. It may have been that of a runner."""
        opened = self._opened.pop(peer, None)
        if opened is not None:
            for listener in self.on_lost:
                listener(*opened)

    def turned(self, changes: Changes, now: float) -> None:
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


def _check_asked(words: list[str], key: str | None) -> None:
    """Raise RefusedError when a run is asked for with more than it may have."""
    size = len((key or "").encode())
    if size > KEY_BYTES:
        raise RefusedError(f"the key takes {size:,} bytes, and may take {KEY_BYTES:,}: shorten it")
    many = len(words) > WORDS
    size = 0 if many else sum(len(word.encode()) for word in words)
    if many or size > WORDS_BYTES:
        taken = "" if many else f" take {size:,} bytes, and"
        raise RefusedError(
            f"the {len(words):,} arguments{taken} may be {WORDS:,} and take"
            f" {WORDS_BYTES:,} bytes: put them in a file and pass its path"
        )
