"""The file of `--joblog`: a line for each command, in the form of GNU Parallel."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator

from queue_manager.errors import OutputError

from .outcome import Outcome

_TITLES = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"


class Joblog:
    """Writes the lines. file: None: nothing is written."""

    def __init__(self, file: io.FileIO | None, path: str) -> None:
        self._file, self._path = file, path

    def add(self, outcome: Outcome) -> None:
        """Write the line of a command. Raises OutputError if it can't be written."""
        if self._file is not None:
            self.write(_line(outcome))

    def write(self, line: bytes) -> None:
        """Write a line at once. Raises as `add`."""
        assert self._file is not None
        try:
            self._file.write(line)
        except OSError as error:
            raise OutputError(f"can't write {self._path}: {error.strerror}") from error


@contextlib.contextmanager
def joblog_at(path: str | None) -> Iterator[Joblog]:
    """A log in a new file. None: there is none. Raises OutputError if it can't be written."""
    if path is None:
        yield Joblog(None, "")
        return
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror}") from error
    with io.FileIO(number, "w") as file:
        log = Joblog(file, path)
        log.write(_TITLES.encode())
        yield log


def _line(outcome: Outcome) -> bytes:
    result = outcome.result or {}
    code = result.get("exit_code")
    exit_value = (0 if outcome.signal_number else -1) if code is None else code
    printed = result.get("stdout", "")
    size_bytes = result.get("stdout_bytes", len(os.fsencode(printed)))
    cells = [
        outcome.seq,
        result.get("host", ""),
        f"{result.get('started_at', 0):.3f}",
        f"{result.get('seconds', 0):.3f}",
        0,
        size_bytes,
        -1 if result.get("timed_out") else exit_value,
        outcome.signal_number,
    ]
    command = os.fsencode(outcome.command).replace(b"\n", b"\\n")
    return "".join(f"{cell}\t" for cell in cells).encode() + command + b"\n"
