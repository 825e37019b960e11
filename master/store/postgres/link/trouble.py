"""Why the database can't be reached: told once in the log when it begins, and once when it ends."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger("quartermaster.master")


class Trouble:
    """What the connections of one store have in common. It is used from several threads.

    ending: the master ends. So nobody waits for the database any longer. last: why it was away.
    """

    def __init__(self) -> None:
        self.ending = threading.Event()
        self.last = ""
        self._lock = threading.Lock()
        self._of: dict[str, str] = {}
        self._since = 0.0

    @property
    def line(self) -> str:
        """Why it can't be reached now; empty: it can."""
        return next(iter(self._of.values()), "")

    def begin(self, who: str, line: str, before_s: float = 0.0) -> None:
        """A connection can't be had. who: which one. before_s: so long ago it was lost."""
        with self._lock:
            is_news = not self._of
            self._of[who] = self.last = line
            if is_news:
                self._since = time.monotonic() - before_s
        if is_news and not self.ending.is_set():
            log.error("%s; nothing is acknowledged until it is there again", line)

    def end(self, who: str) -> None:
        """A connection is there again."""
        with self._lock:
            was = self._of.pop(who, None)
            is_news = was is not None and not self._of
        if is_news:
            log.info("the database is there again, after %.1f s", time.monotonic() - self._since)
