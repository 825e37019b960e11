"""Passes what a child process writes to stderr on to the stderr of this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ClassVar


class Relay:
    """Passes on what one child writes, above a progress bar if there is one.

    Attributes:
        aside: makes room for lines above a bar while they are written. The code that shows a bar
            sets it, since this module knows no bar. None: there is no bar.
    """

    aside: ClassVar[Callable[[], AbstractContextManager[object]] | None] = None

    def __init__(self) -> None:
        self._begun = b""

    def write(self, part: bytes) -> None:
        """Pass a part on. While there is a bar, a line waits until it is whole."""
        aside = Relay.aside
        if aside is None:
            self._pass_on(self._begun + part)
            self._begun = b""
            return
        whole, newline, self._begun = (self._begun + part).rpartition(b"\n")
        if newline:
            with aside():
                self._pass_on(whole + newline)

    def end(self) -> None:
        """The child writes nothing more: pass on the rest."""
        if self._begun:
            self.write(b"\n")

    def _pass_on(self, part: bytes) -> None:
        sys.stderr.buffer.write(part)
        sys.stderr.buffer.flush()
