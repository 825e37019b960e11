"""Whose a file is that is there already, and who writes it now.

A note below `.quartermaster/outputs/` says which command has written a file, and what the file was
then: whoever has written it since owns it. A lock refuses a second command that would write a file
at the same time, in whichever folder it was typed.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from queue_manager.authkey import write_file
from queue_manager.environments.locks import never, take
from queue_manager.errors import OutputError

from ..own.workspace import ONCE, ROOT

Identity = list[int]
"""What tells a file from the one that has its name later: inode, bytes, nanoseconds of its time."""


class Claim:
    """A file that a command is to write.

    Args:
        path: of the file. What a link names is written, and the link stays.
        command: the same command has the same.
        option: by which the user may name another file.

    path: what is written. is_regular: not a device or a pipe, of which nobody is the owner.

    Raises OutputError: it can't be written.
    """

    def __init__(self, path: Path, command: str, option: str) -> None:
        self._shown, self._command, self._option = path, command, option
        with told(path):
            mode = _mode_of(path)
            if stat.S_ISDIR(mode):
                raise OutputError(f"{path} is a folder: name a file with {option}")
            self.is_regular = stat.S_ISREG(mode)
            self.path = Path(os.path.realpath(path)) if self.is_regular else path
            if self.is_regular and not self.path.parent.is_dir():
                raise OutputError(f"{path}: there is no folder {path.parent}")
        self._note = ROOT / "outputs" / hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]

    def lock(self, path: Path) -> int:
        """Open a file beside it, or itself, which nobody else may write until that is closed.

        Returns its descriptor. Raises OutputError: another command has it.
        """
        with told(self._shown):
            file = take(path, wait=never, mode=0o666)
        if file is None:
            raise OutputError(
                f"another command writes {self._shown} now: wait for it, or name another file with"
                f" {self._option}"
            )
        return file

    def check(self) -> None:
        """Raise OutputError if the file has something in it that this command has not written."""
        with told(self._shown):
            noted = self._noted()
            is_ours = noted.get("command") == self._command and self._is_as_in(noted)
        if not is_ours and self._has_text():
            raise self._refusal()
        self._keep([])  # now, since no note could be made at the end either

    def check_failures(self) -> None:
        """As `check`, of a file of failures. A killed command has left one that nobody noted."""
        with told(self._shown):
            owner = self._noted().get("command")
            is_ours = owner is not None and (owner == self._command or owner.startswith(ONCE))
            if self._has_text() and not (is_ours and _has_failures(self.path)):
                raise self._refusal()
        self._keep([])

    def finish(self, draft: Path) -> None:
        """Give the draft the name of the file.

        Raises OutputError if somebody else has written the file meanwhile. The draft has another
        name then, which the line says.
        """
        if self._has_text() and not self._is_as_in(self._noted()):
            raise OutputError(
                f"somebody else has written {self._shown} meanwhile: the results are in"
                f" {_aside(self.path, draft)}"
            )
        # Before it has its name: else a command that dies behind that would not know its own file.
        with contextlib.suppress(OutputError):
            self._keep([identity_of(draft)])
        os.replace(draft, self.path)

    def _has_text(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def _is_as_in(self, noted: dict[str, Any]) -> bool:
        return self.path.exists() and identity_of(self.path) in noted.get("was", [])

    def _noted(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
            found = json.loads(self._note.read_bytes())
            return found if isinstance(found, dict) else {}
        return {}

    def _keep(self, was: list[Identity]) -> None:
        """Note that the file is this command's. was: what it will be, beside what it is now."""
        if self._has_text():
            was = [identity_of(self.path), *was]
        with told(self._note.parent):
            ROOT.mkdir(0o700, exist_ok=True)
            self._note.parent.mkdir(exist_ok=True)
            text = json.dumps({"command": self._command, "was": was})
            write_file(self._note, text.encode(), 0o600, replace=True)

    def _refusal(self) -> OutputError:
        return OutputError(
            f"{self._shown} was not written by this command: remove it, or name another file with"
            f" {self._option}"
        )


def identity_of(path: Path) -> Identity:
    """What a file is now. Raises OSError."""
    status = path.stat()
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _mode_of(path: Path) -> int:
    """That of what is there, or of a regular file. Raises OSError, also for a loop of links."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return stat.S_IFREG


@contextlib.contextmanager
def told(path: Path | None) -> Iterator[None]:
    """Say which file can't be written. None: the standard output."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"can't write {path or 'the output'}: {error.strerror}") from error


def _has_failures(path: Path) -> bool:
    """Whether its first line is a failure: somebody may have written another text into it."""
    with path.open("rb") as file:
        first = file.readline(1024)
    return first.startswith(b'{"line":')


def _aside(path: Path, draft: Path) -> Path:
    """Give a draft a name that no file has. Returns that."""
    for number in itertools.count(1):
        free = path.with_name(f"{path.name}.{number}")
        with contextlib.suppress(FileExistsError):
            os.link(draft, free)
            draft.unlink()
            return free
    raise AssertionError
