"""Writes results and failures as they come.

This module owns the form of both, where they go, and whose a file is that is there already. Knows
nothing of runs.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from queue_manager import codec
from queue_manager.errors import OutputError
from queue_manager.plain import foreign
from queue_manager.wire.stock.opcodes import SHOWN_ITEM

from ..own.workspace import ROOT
from ..text.plain_json import dumped, to_json
from ..text.printing import exactly

FLUSH_S = 0.1
"""A line may wait so long in a buffer. Whoever follows the output hardly notices."""


class Output:
    """Lines for standard output, or for a file that has its name when it is whole.

    Args:
        path: of the file. None: standard output.
        command: what `claim` knows this command by.

    Raises OutputError, or ReaderGoneError if nobody reads standard output any more.
    """

    def __init__(self, path: Path | None, command: str) -> None:
        self._path, self._command = path, command
        self._draft: Path | None = None
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._over = threading.Event()
        if path is None:
            exactly()
            self._file: TextIO = sys.stdout
        else:
            claim(path, command, "-o")
            _drop_left(path)
            self._draft = (
                path.with_name(f".{path.name}.{os.getpid()}.part") if _is_named(path) else None
            )
            with _told(path):
                self._file = _opened(self._draft or path)
        threading.Thread(target=self._flush_often, name="output", daemon=True).start()

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._path is not None:
            with self._lock, contextlib.suppress(OSError):
                self._file.close()
        if self._draft is not None:
            self._draft.unlink(missing_ok=True)

    def write(self, line: str) -> None:
        """Write one line."""
        with self._lock:
            if self._error is not None:
                raise self._error
            with _told(self._path):
                self._file.write(f"{line}\n")

    def finish(self) -> None:
        """All is written. The file gets its name."""
        with self._lock, _told(self._path):
            if self._error is not None:
                raise self._error
            self._file.flush()
            if self._draft is not None and self._path is not None:
                if _note_of(self._path).read_text() != self._command:
                    raise OutputError(f"another command has taken {self._path} meanwhile")
                os.fsync(self._file.fileno())
                os.replace(self._draft, self._path)
                self._draft = None

    def _flush_often(self) -> None:
        while not self._over.wait(FLUSH_S):
            with self._lock:
                try:
                    with _told(self._path):
                        if not self._over.is_set():
                            self._file.flush()
                except OutputError as error:
                    self._error = error
                    return


class Failures:
    """The file of inputs that have failed. It is made for the first of them.

    count: how many there are.
    """

    def __init__(self, path: Path, command: str) -> None:
        claim(path, "", "--failed")
        self.path, self._command = path, command
        self._file: TextIO | None = None
        self.count = 0

    def __enter__(self) -> Failures:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def add(self, number: int, given: Any, error: BaseException) -> None:
        """Write one. number: of its line in the output."""
        self.count += 1
        with _told(self.path):
            if self._file is None:
                self._file = _opened(self.path)
            values = {"line": number, "input": to_json(given), "error": error_line(error)}
            cause = error.__cause__
            values["traceback"] = str(cause.args[0]).strip() if cause and cause.args else ""
            self._file.write(f"{dumped(values)}\n")
            self._file.flush()

    def finish(self) -> None:
        """There are no more. A file of an earlier time goes if there is none at all."""
        if not self.count and _is_named(self.path):
            self.path.unlink(missing_ok=True)


def error_line(error: BaseException) -> str:
    """An exception as one line, as the last one of a traceback."""
    text = " ".join(str(error).split())
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


def claim(path: Path, command: str, option: str) -> None:
    """Take a file for the output of a command, whether it is there or not.

    A file with something in it stays as it is, unless the same command has written it.

    command: empty for what any `qm map` may replace. option: names another file.

    Raises OutputError: somebody else has written it, or it can't be written.
    """
    note = _note_of(path)
    with _told(path):
        if path.is_dir():
            raise OutputError(f"{path} is a folder: name a file with {option}")
        if not _is_named(path):
            return
        known = note.read_text() if note.exists() else None
        is_ours = known is not None and (not command or known == command)
        if (
            path.exists()
            and path.stat().st_size
            and not (is_ours and (command or _has_failures(path)))
        ):
            raise OutputError(
                f"{path} was not written by this command: remove it, or name another file with"
                f" {option}"
            )
        if not path.parent.is_dir():
            raise OutputError(f"{path}: there is no folder {path.parent}")
    with _told(note.parent):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(command)


def _note_of(path: Path) -> Path:
    """The file that says which command has claimed a path."""
    return ROOT / "outputs" / hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]


def _drop_left(path: Path) -> None:
    """Remove the drafts of commands that were killed."""
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = draft.name.split(".")[-2]
        if number.isdecimal() and not Path(f"/proc/{number}").exists():
            draft.unlink(missing_ok=True)


def _has_failures(path: Path) -> bool:
    """Whether its first line is of `Failures`: somebody may have written another text into it."""
    with path.open("rb") as file:
        first = file.readline(1024)
    return first.startswith(b'{"line":')


def _opened(path: Path) -> TextIO:
    """A new file of JSON. A lone surrogate is written as JSON writes it."""
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")


def _is_named(path: Path) -> bool:
    """Whether it is a file, or will be: not a device or a pipe."""
    return path.is_file() or not path.exists()


@contextlib.contextmanager
def _told(path: Path | None) -> Iterator[None]:
    """Say which file can't be written."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"can't write {path or 'the output'}: {error.strerror}") from error
