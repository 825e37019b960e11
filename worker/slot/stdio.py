"""Keeps what each try prints, inside the slot, so that a failure can show it.

This module owns `sys.stdout` and `sys.stderr` of the slot. The running task is looked up at each
write, so a task that prints nothing costs nothing. Output of children and of C code does not pass
here. The supervisor sees it in the pipes.
"""

from __future__ import annotations

import io
import sys
from contextvars import ContextVar
from typing import Any, TextIO

from ..ipc.shared_page import ERR, NONE, OUT, POSITION, TAIL_BYTES, Row, SharedPage

_KEPT_CHARS = 4 * TAIL_BYTES


class TaskOutput:
    """The end of what one try has printed."""

    __slots__ = ("_parts", "_size", "lease", "position")

    def __init__(self, lease: int, position: int) -> None:
        self.lease, self.position = lease, position
        self._parts: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        """Add a text that was written."""
        end = text[-TAIL_BYTES:]
        self._parts.append(end)
        self._size += len(end)
        if self._size > _KEPT_CHARS:
            self._parts = ["".join(self._parts)[-TAIL_BYTES:]]
            self._size = len(self._parts[0])

    @property
    def text(self) -> str:
        """The end of the output, at most 4 KiB."""
        data = "".join(self._parts).encode("utf-8", "replace")
        return data[-TAIL_BYTES:].decode("utf-8", "ignore")


running_output: ContextVar[TaskOutput | None] = ContextVar("running_output", default=None)
"""In an async slot: the output of the present coroutine's try. Tasks that it starts inherit it."""


class Stdio:
    """Knows which try prints: by the shared page in a plain slot, else by the context."""

    def __init__(self, shared_page: SharedPage) -> None:
        self._output = shared_page.output
        self._row: Row | None = None
        self._lease = 0
        self._tail = TaskOutput(0, NONE)

    def begin(self, lease: int, row: Row) -> None:
        """Note that a plain slot runs this lease from now on."""
        self._lease, self._row = lease, row

    def note(self, stream: int, text: str, size_bytes: int) -> None:
        """Note a text that was written."""
        tail = running_output.get() or self._plain()
        self._output.wrote(tail.lease, tail.position, stream, size_bytes)
        tail.add(text)

    def of(self, position: int) -> str:
        """The end of what the task at this position of the present lease has printed."""
        tail = self._tail
        return tail.text if (tail.lease, tail.position) == (self._lease, position) else ""

    def _plain(self) -> TaskOutput:
        lease = self._lease
        position = self._row.numbers[POSITION] if self._row is not None else NONE
        if (self._tail.lease, self._tail.position) != (lease, position):
            self._tail = TaskOutput(lease, position)
        return self._tail

    def install(self) -> None:
        """Replace `sys.stdout` and `sys.stderr` for as long as the process lives."""
        for name, number in (("stdout", OUT), ("stderr", ERR)):
            tee = self.tee(getattr(sys, name), number)
            setattr(sys, name, tee)
            setattr(sys, f"__{name}__", tee)  # the old stream has lost its buffer

    def tee(self, stream: TextIO, number: int) -> TextIO:
        """Make a stream that replaces another one and takes its buffer."""
        return _Tee(stream, number, self)


class _Tee(io.TextIOWrapper):
    """A text stream that notes what is written to it, and passes on each line at once."""

    def __init__(self, stream: Any, number: int, printed: Stdio) -> None:
        # A character that the locale lacks is escaped, as on any stderr, and fails no task.
        encoding, errors = stream.encoding, "backslashreplace"
        super().__init__(
            stream.detach(),
            encoding,
            errors,
            line_buffering=True,
            write_through=stream.write_through,
        )
        self._number, self._stdio = number, printed

    def write(self, text: str) -> int:
        written = super().write(text)
        size_bytes = (
            len(text)
            if text.isascii()
            else len(text.encode(self.encoding, self.errors or "strict"))
        )
        self._stdio.note(self._number, text, size_bytes)
        return written
