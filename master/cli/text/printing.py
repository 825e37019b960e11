"""Prints for commands: lines for people are harmless, and a failed write is one line.

Owns standard output and standard error of `qm`. A reader who has had enough (`| head`) is no error.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable
from typing import Any

from queue_manager.errors import OutputError, ReaderGoneError
from queue_manager.terminal import harmless, harmless_line

from ...processes.relay import Relay


class _Output(io.RawIOBase):
    """A descriptor to write to. After a write has failed, all else is dropped: nobody gets it.

    quiet: the failed write is no error. Nobody could be told of one of standard error.
    """

    def __init__(self, number: int, quiet: bool) -> None:
        self._number, self._quiet = number, quiet
        self._broken = False

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self._broken:
            return size
        try:
            return os.write(self._number, data)
        except OSError as error:
            self._broken = True
            if self._quiet:
                return size
            if isinstance(error, BrokenPipeError):
                raise ReaderGoneError("nobody reads the output any more") from error
            raise OutputError(f"can't write the output: {error.strerror}") from error


_closed: set[int] = set()
"""Standard descriptors that nobody had opened for us."""


def take_over() -> None:
    """Make the standard streams of this process ours, before anything is opened or printed.

    A standard descriptor that is closed is opened on the null device. Otherwise the next socket
    would get its number, and printed lines would go into that socket.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            _closed.add(number)
            os.open(os.devnull, flags)  # gets the lowest number that is free: this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None or stream is getattr(sys, f"__{name}__"):  # nobody else took it over
            ours = _opened(number, getattr(stream, "encoding", None))
            setattr(sys, name, ours)
            setattr(sys, f"__{name}__", ours)


def _opened(number: int, encoding: str | None) -> io.TextIOWrapper:
    raw = _Output(number, quiet=number == 2)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding or "utf-8",
        "backslashreplace",
        line_buffering=number == 2 or raw.isatty(),
    )


def was_closed(number: int) -> bool:
    """Whether a standard descriptor was closed when this process began."""
    return number in _closed


def check_output() -> None:
    """Look at standard output before a command does something that it can only tell there.

    Raises:
        OutputError: it is closed.
    """
    if 1 in _closed:
        raise OutputError("standard output is closed: give it a file, or > /dev/null")


def say(*lines: str) -> None:
    """Write lines for people to standard output at once.

    Raises:
        OutputError: it can't be written.
        ReaderGoneError: nobody reads it any more.
    """
    write(lines)
    sys.stdout.flush()


def write(lines: Iterable[str]) -> None:
    """As `say`, but lines may stay in the buffer until more come."""
    for line in lines:
        sys.stdout.write(harmless_line(line) + "\n")


def tell(line: str) -> None:
    """Write a line for people to standard error, beside the output, above a progress bar."""
    with Relay.aside() if Relay.aside is not None else contextlib.nullcontext():
        print(harmless(line), file=sys.stderr, flush=True)


def tell_trouble(line: str) -> None:
    """Write a line about this command's session to standard error."""
    tell(f"qm: {line}")


def exactly() -> None:
    """Make standard output UTF-8, whatever the terminal has: programs read what follows."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A lone surrogate is written as \\udXXX, which is JSON's own form of it.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
