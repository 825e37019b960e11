"""Takes schedules.toml at the start, and whenever it changes.

Two looks must find the same: an editor may have emptied the file, and be about to write it. What a
half of it left out would lose its pause.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from queue_manager.client.connection.aside import aside
from queue_manager.errors import QueueError, RefusedError

from ..turn.answer import log_failure
from .file import Seen, look_at, schedules_in, stamp_of
from .roster import FILE, Roster

log = logging.getLogger("quartermaster.master")

EVERY_S = 2.0

SILENT_S = 10.0
"""After what time it is told that the file does not answer, and schedules run without it."""


class FileWatch:
    """Watches the file. why: lines that say what of it does not count."""

    def __init__(self, roster: Roster, folder: Path) -> None:
        self._roster = roster
        self._path = folder / FILE
        self._before: Seen | None = None
        self._taken: tuple[int, ...] | None = None
        self._names: list[str] = []
        self._lines: list[str] = []
        self._settled = False
        self._began: float | None = None
        self._looked = 0.0
        self._task: asyncio.Task[None] | None = None
        self.why: list[str] = []

    def tick(self, now: float) -> None:
        """Look whether it has changed. now: monotonic seconds."""
        if self._began is None:
            self._began, self._looked = now, now - EVERY_S
        if self._task is None and now - self._looked >= EVERY_S:
            self._looked = now
            self._task = asyncio.get_running_loop().create_task(self._look_guarded())
            self._task.add_done_callback(log_failure)
            self._task.add_done_callback(self._ended)
        elif self._task is not None and now - self._looked >= SILENT_S:
            self._say([f"{self._path} was not read or taken within {SILENT_S:.0f} s"])

    def is_settled(self, now: float) -> bool:
        """Whether it is known what the file says, or it was waited for long enough.

        Before that, a slot might run whose schedule was removed from the file meanwhile.
        """
        return self._settled or (self._began is not None and now - self._began >= SILENT_S)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._task = None

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _look_guarded(self) -> None:
        """Look. No error ends the watch: the next look comes in any case."""
        try:
            await self.look()
        except Exception as error:
            log.exception("an error of ours")
            self._say([f"{FILE} can't be taken: an error of ours: {error!r}"])

    async def look(self) -> None:
        """Take the file, if two looks find the same, and that is not taken yet.

        The threads that read hold up no end: a disk of the network may not answer for ever.
        """
        try:
            if await aside(stamp_of, self._path) == self._taken and self._has_all():
                self._say(self._lines)
                return
            seen = await aside(look_at, self._path)
        except OSError as error:
            self._settled = True
            self._say([f"can't read {self._path}: {error.strerror or error}"])
            return
        before, self._before = self._before, seen
        if seen == before:
            await self._take(seen)
            self._settled = True

    def _has_all(self) -> bool:
        """Whether each schedule of the file is there: one of a command may have had its name."""
        return all(name in self._roster.all for name in self._names)

    async def _take(self, seen: Seen) -> None:
        try:
            specs = await aside(schedules_in, seen, self._path)
        except RefusedError as error:
            self._taken, self._names = seen.stamp, []
            self._lines = [f"{error}; nothing of the file is taken until that is mended"]
            self._say(self._lines)
            return
        try:
            lines = await self._roster.take_file(specs)
        except QueueError as error:  # it can't be written now: the next look tries again
            self._say([f"{FILE} can't be taken now: {error}"])
            return
        self._taken, self._names = seen.stamp, [spec.name for spec in specs]
        self._lines = lines
        self._say(lines)

    def _say(self, lines: list[str]) -> None:
        for line in lines:
            if line not in self.why:
                log.error("%s", line)
        self.why = lines
