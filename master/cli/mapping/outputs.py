"""Writes results and failures as they come.

This module owns the form of both, and where they go. Knows nothing of runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from queue_manager import codec
from queue_manager.environments.locks import is_at
from queue_manager.errors import OutputError
from queue_manager.plain import foreign
from queue_manager.plain.as_json import dumped, to_json
from queue_manager.terminal import text_of
from queue_manager.wire.stock.opcodes import SHOWN_ITEM

from ..text.printing import exactly
from .claims import Claim, told

FLUSH_S = 0.1
"""A line may wait so long in a buffer. Whoever follows the output hardly notices."""


class Output:
    """Lines for standard output, or for a file that has its name when it is whole.

    Args:
        path: of the file. None: standard output.
        command: the same command has the same.

    Raises OutputError, or ReaderGoneError if nobody reads standard output any more.
    """

    def __init__(self, path: Path | None, command: str) -> None:
        self._path = path
        self._claim: Claim | None = None
        self._draft: Path | None = None
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._over = threading.Event()
        if path is None:
            exactly()
            self._file: TextIO = sys.stdout
        else:
            self._claim = Claim(path, command, "-o")
            self._file = self._drafted(self._claim) if self._claim.is_regular else _device(path)
        threading.Thread(target=self._flush_often, name="output", daemon=True).start()

    def _drafted(self, claim: Claim) -> TextIO:
        """The draft of the file. It is locked, so one that nobody has locked was left over."""
        draft = claim.path.with_name(f".{claim.path.name}.qm-part")
        file = claim.lock(draft)
        try:
            claim.check()
        except BaseException:
            draft.unlink(missing_ok=True)
            os.close(file)
            raise
        self._draft = draft
        return _text(file)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._path is None:
            return
        with self._lock, contextlib.suppress(OSError):
            # Before it is closed, and if it has no other name: else it may be another command's.
            if self._draft is not None and is_at(self._file.fileno(), self._draft):
                self._draft.unlink()
            self._file.close()

    def write(self, line: str) -> None:
        """Write one line."""
        with self._lock:
            if self._error is not None:
                raise self._error
            with told(self._path):
                self._file.write(f"{line}\n")

    def finish(self) -> None:
        """All is written. The file gets its name."""
        with self._lock, told(self._path):
            if self._error is not None:
                raise self._error
            self._file.flush()
            if self._draft is not None and self._claim is not None:
                os.fsync(self._file.fileno())
                self._claim.finish(self._draft)

    def _flush_often(self) -> None:
        while not self._over.wait(FLUSH_S):
            with self._lock:
                try:
                    with told(self._path):
                        if not self._over.is_set():
                            self._file.flush()
                except OutputError as error:
                    self._error = error
                    return


class Failures:
    """The file of inputs that have failed. It is made for the first of them.

    Args:
        path, command: as of `Claim`.
        shown: makes of a traceback what is written of it.

    count: how many there are.
    """

    def __init__(self, path: Path, command: str, shown: Callable[[str], str] = str) -> None:
        self.path, self.count, self._shown = path, 0, shown
        self._claim = Claim(path, command, "--failed")
        self._file: TextIO | None = None
        self._lock = -1
        if self._claim.is_regular:
            self._lock = self._claim.lock(self._claim.path)
            try:
                self._claim.check_failures()
            except BaseException:
                self._let_go()
                raise

    def __enter__(self) -> Failures:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        elif self._lock >= 0:
            self._let_go()

    def add(self, number: int, given: Any, error: BaseException) -> None:
        """Write one. number: of its line in the output."""
        self.count += 1
        with told(self.path):
            if self._file is None:
                self._file = _text(self._lock) if self._lock >= 0 else _device(self.path)
            values = {"line": number, "input": to_json(given), "error": error_line(error)}
            cause = error.__cause__
            evidence = str(cause.args[0]).strip() if cause and cause.args else ""
            values["traceback"] = self._shown(evidence)
            self._file.write(f"{dumped(values)}\n")
            self._file.flush()

    def finish(self) -> None:
        """There are no more. A file of an earlier time goes if there is none at all."""
        if not self.count and self._lock >= 0:
            with told(self.path):
                os.truncate(self._lock, 0)

    def _let_go(self) -> None:
        """Close a file that has no failure of this command, and remove it if it is empty."""
        if os.fstat(self._lock).st_size == 0 and is_at(self._lock, self._claim.path):
            self._claim.path.unlink(missing_ok=True)
        os.close(self._lock)


def error_line(error: BaseException) -> str:
    """An exception as one line, as the last one of a traceback."""
    text = text_of(error)
    if type(error).__module__.startswith("queue_manager."):  # its text says it all
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def result_line(value: Any) -> str:
    """A result as JSON: as `qm results` has it."""
    return dumped(_plain(value))


def pair_line(given: Any, value: Any) -> str:
    """An input with its result, or with the exception in its place."""
    if isinstance(value, BaseException):
        return dumped({"input": to_json(given), "error": error_line(value)})
    return dumped({"input": to_json(given), "result": _plain(value)})


def _plain(value: Any) -> Any:
    if not foreign.LIBRARIES.isdisjoint(sys.modules) and type(value) not in codec.ATOMS:
        value = codec.decode(codec.encode(value), SHOWN_ITEM)  # arrays and tables, all of them
    return to_json(value)


def _text(file: int) -> TextIO:
    """An open file of JSON, from its beginning. A lone surrogate is written as JSON writes it."""
    os.truncate(file, 0)
    return open(file, "w", encoding="utf-8", errors="backslashreplace", newline="\n")


def _device(path: Path) -> TextIO:
    """As `_text`, of a device or a pipe."""
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
