"""Follows a store, commit by commit, into a copy; comes back whatever is lost on either side.

The follower holds the log while it copies what is new. When the log moves fast, it holds it all the
time, and lets go for a moment once it is long, so that the master's SQLite begins it again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from queue_manager.errors import StoreError

from .holding import Holding
from .records import Commit, CopyError, Position, Target
from .source import Batch, LostTrackError, MovedOnError, Source
from .telling import Telling

PACE_S = 0.2
"""How often the copy is synced to its disk."""

_LOOK_S = 0.05
_NOTE_S = 1.0
_FAST = 1_000
"""So many frames between two looks, and the log is held."""

_LONG = 5_000
"""So many frames, and a held log is let go. A master moves 4,000 of them into the file at once."""

_AT_HAND = 8_192
"""So many pages are read before the first is written: a copy may be slow, and the log goes on."""

_GAP_S = 0.25
_GAP_STEP_S = 0.002
_RETRY_S = (0.5, 1.0, 2.0, 5.0)


class Follower:
    """Keeps a copy of the store in a folder.

    opened: opens the copy, again if it was lost. telling: who is told how it goes.
    """

    def __init__(self, folder: Path, opened: Callable[[], Target], telling: Telling) -> None:
        self._folder = folder
        self._opened = opened
        self._telling = telling
        self._stopped = False

    def stop(self) -> None:
        """Have `run` end after what it does now. A handler of signals may call it."""
        self._stopped = True

    def run(self) -> None:
        """Follow until `stop`. What is lost is opened again, with one line about it."""
        tries = 0
        while not self._stopped:
            try:
                with (
                    contextlib.closing(Source(self._folder)) as source,
                    contextlib.closing(self._opened()) as target,
                ):
                    tries = 0
                    self._follow(source, target)
            except (CopyError, StoreError) as error:
                self._telling.trouble(error)
                self._rest(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
                tries += 1
        self._telling.end()

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopped and time.monotonic() < until:
            time.sleep(0.05)

    def _follow(self, source: Source, target: Target) -> None:
        """Follow one store into one copy, until `stop`, or until the store is another one."""
        with Holding(source) as holding:
            at = target.position and source.resumed(target.position)
            while not self._stopped:
                if not source.is_there():
                    self._telling.say("the store was moved or replaced")
                    return
                try:
                    at = self._whole(source, target, holding) if at is None else at
                    at = self._step(source, target, holding, at)
                except MovedOnError:
                    target.abort()
                except LostTrackError as error:
                    target.abort()
                    self._telling.say(f"{error}: all of the store is copied again")
                    at = None

    # --- all of the store ---

    def _whole(self, source: Source, target: Target, holding: Holding) -> Position:
        now = time.time()
        holding.hold()
        batch = source.whole()
        self._telling.begin(batch.size_bytes)
        target.begin(batch.size_bytes)
        for offset, data in source.read(batch):
            target.write(offset, data)
            self._telling.copied(offset + len(data))
            holding.check()
            if self._stopped:
                target.abort()
                return batch.position
        target.commit(Commit(batch.position, batch.size_bytes, now))
        self._telling.is_whole(now, batch.position)
        return batch.position

    # --- what is new ---

    def _step(self, source: Source, target: Target, holding: Holding, at: Position) -> Position:
        """Copy what is new, or wait a moment. Returns how far the copy is."""
        began, now = time.monotonic(), time.time()
        batch = source.since(at)
        if batch is None:
            holding.let_go()
            if self._telling.is_due(_NOTE_S):
                target.note(now)
                self._telling.complete(now, at)
        else:
            if not holding.is_held:  # the copy may take its time
                holding.hold()
                batch = source.since(at) or batch
            self._copy(source, target, batch, now)
            at = batch.position
            if at.frames > _LONG:
                self._let_it_begin_again(source, holding, at)
            elif batch.frames <= _FAST:
                holding.let_go()
        self._wait(source, at, began + PACE_S)
        return at

    def _wait(self, source: Source, at: Position, until: float) -> None:
        """Wait until then, or until the log, which nobody holds, moves fast."""
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_S))
            if not source.is_held:
                head = source.head()
                if head.salts != at.salts or head.frames > at.frames + _FAST:
                    return

    def _copy(self, source: Source, target: Target, batch: Batch, now: float) -> None:
        written = 0
        new = source.read_new(batch)
        for offset, data in list(new) if len(batch.pages) <= _AT_HAND else new:
            target.write(offset, data)
            written += len(data)
        target.commit(Commit(batch.position, batch.size_bytes, now))
        self._telling.complete(now, batch.position, written)

    def _let_it_begin_again(self, source: Source, holding: Holding, at: Position) -> None:
        """Hold nothing until the log begins again, a moment at most.

        What is in the log behind the position stays there for as long as the new turn is shorter.
        """
        holding.let_go()
        until = time.monotonic() + _GAP_S
        while time.monotonic() < until and source.head().salts == at.salts:
            time.sleep(_GAP_STEP_S)
