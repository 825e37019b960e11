"""What the functions of a job print in the runner: it goes where it went, and the end is kept.

What is written past Python's streams, such as by a library in C, is not kept.
"""

from __future__ import annotations

import io
import sys
import threading
import time

from queue_manager.wire.limits import PRINTED_CHARS
from queue_manager.wire.messages import Printed

from .session import RunnerSession

TELL_S = 0.5
"""How often the master is told what was printed."""


class Kept:
    """The end of all that was printed."""

    def __init__(self) -> None:
        self._text = ""
        self._told = ""
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        """More was printed."""
        with self._lock:
            self._text = (self._text + text)[-PRINTED_CHARS:]

    def take(self) -> str | None:
        """The end, if it has changed since this was called before; else None."""
        with self._lock:
            if self._text == self._told:
                return None
            self._told = self._text
            return self._text


class KeepingStream(io.TextIOWrapper):
    """A standard stream whose text is kept, too."""

    kept: Kept

    def write(self, text: str) -> int:
        """As that of any stream."""
        count = super().write(text)
        self.kept.add(text)
        return count


def keep_prints() -> Kept:
    """Keep what is printed from now on in this process."""
    kept = Kept()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _keeping(stream, kept))
    return kept


def _keeping(stream: io.TextIOWrapper, kept: Kept) -> KeepingStream:
    stream.flush()
    made = KeepingStream(
        stream.buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    made.kept = kept
    _before.append(stream)
    return made


_before: list[io.TextIOWrapper] = []
"""The streams of before. When one is deleted, it closes the buffer, which is ours now."""


def tell_printed(session: RunnerSession, run: int, kept: Kept) -> None:
    """Tell the master what was printed since it was told before, if anything was."""
    text = kept.take()
    if text is not None:
        session.send(Printed(run, _as_text(text)))


def tell_printed_for_ever(session: RunnerSession, run: int, kept: Kept) -> None:
    """Tell the master now and then, in a thread beside the job's functions."""

    def tell() -> None:
        while True:
            time.sleep(TELL_S)
            tell_printed(session, run, kept)

    threading.Thread(target=tell, name="printed", daemon=True).start()


def _as_text(text: str) -> str:
    """Without what UTF-8 can't write, such as half of a pair of surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()[-PRINTED_CHARS:]
