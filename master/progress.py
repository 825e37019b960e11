"""A progress bar on a terminal, silence elsewhere; and how others write there beside it."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, ClassVar


class Progress:
    """Shows how many of the tasks known so far have ended. label: in front of the bar."""

    shown: ClassVar[set[Progress]] = set()

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None
        self._dead = 0

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=0, desc=self._label, unit=" tasks", unit_scale=True, leave=False)
            self.shown.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self.shown.discard(self)
            self._bar.close()

    def show(self, ended: int, tasks: int, dead: int = 0) -> None:
        """How far it is. dead: so many of the ended ones are dead letters."""
        if self._bar is None:
            return
        self._bar.total = tasks
        if dead != self._dead:
            self._dead = dead
            self._bar.set_postfix_str(f"{dead:,} dead" if dead else "")
        self._bar.update(ended - self._bar.n)


class Beside:
    """What one child writes to stderr: passed on, above a bar if there is one."""

    def __init__(self) -> None:
        self._begun = b""

    def write(self, part: bytes) -> None:
        """Pass it on. While there is a bar, a line waits until it is whole."""
        if not Progress.shown:
            self._pass_on(self._begun + part)
            self._begun = b""
            return
        from tqdm import tqdm

        whole, newline, self._begun = (self._begun + part).rpartition(b"\n")
        if newline:
            with tqdm.external_write_mode(file=sys.stderr):
                self._pass_on(whole + newline)

    def end(self) -> None:
        """The child has no more to say."""
        if self._begun:
            self.write(b"\n")

    def _pass_on(self, part: bytes) -> None:
        sys.stderr.buffer.write(part)
        sys.stderr.buffer.flush()
