"""Takes schedules.toml at the start, and whenever it changes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from queue_manager.errors import QueueError, RefusedError

from ..turn.answer import log_failure
from .file import read_file, stamp_of
from .roster import FILE, Roster

log = logging.getLogger("quartermaster.master")

EVERY_S = 2.0


class FileWatch:
    """Watches the file. why: lines that say what of it does not count."""

    def __init__(self, roster: Roster, folder: Path) -> None:
        self._roster = roster
        self._path = folder / FILE
        self._taken: tuple[int, ...] | None = None
        self._looked = -EVERY_S
        self._task: asyncio.Task[None] | None = None
        self.why: list[str] = []

    def tick(self, now: float) -> None:
        """Look whether it has changed. now: monotonic seconds."""
        if self._task is None and now - self._looked >= EVERY_S:
            self._looked = now
            self._task = asyncio.get_running_loop().create_task(self.look())
            self._task.add_done_callback(log_failure)
            self._task.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._task = None

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def look(self) -> None:
        """Take the file, if it is another one than was taken. Files are read in a thread."""
        try:
            stamp = await asyncio.to_thread(stamp_of, self._path)
        except OSError as error:
            self._say([f"can't read {self._path}: {error.strerror or error}"])
            return
        if stamp == self._taken:
            return
        try:
            specs = await asyncio.to_thread(read_file, self._path)
        except RefusedError as error:
            self._taken = stamp
            self._say([f"{error}; nothing of the file is taken until that is mended"])
            return
        try:
            lines = await self._roster.take_file(specs)
        except QueueError as error:  # it can't be written now: the next look tries again
            self._say([f"{FILE} can't be taken now: {error}"])
            return
        self._taken = stamp
        self._say(lines)

    def _say(self, lines: list[str]) -> None:
        for line in lines:
            if line not in self.why:
                log.error("%s", line)
        self.why = lines
