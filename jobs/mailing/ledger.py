"""What was begun and what was sent, on the disk that all workers share: no message goes out twice.

A message's fate is unknown from the moment when the end of its data may reach the server until the
server has answered. A worker that dies then leaves a note that says so, and so does one whose
connection breaks. The notes are empty files, named by the message:

    MESSAGE.begun   the end of its data may have been sent. Made exclusively, so of two workers that
                    have the same task (one was frozen, say) only one sends
    MESSAGE.sent    the server has taken it
    MESSAGE.told    its fate is unknown, and its dead letter says so. It has the task's number

`qm retry` is a person's decision to send it again. It is known by this: a fate is only told at the
second try or a later one, and only `qm retry` makes the tries of a task begin at 1 again.
"""

from __future__ import annotations

import contextlib
import os
from enum import Enum
from pathlib import Path


class Fate(Enum):
    """What the ledger knows of a message."""

    NEW = "new"
    SENT = "sent"
    UNKNOWN = "unknown"


class Ledger:
    """The notes of a campaign."""

    def __init__(self, out: str) -> None:
        self._folder = Path(out) / "ledger"

    def fate(self, message: str, task: str, attempt: int) -> Fate:
        """What is known of a message. The decision of a person is noted.

        Args:
            task: which task asks: its run and its number.
            attempt: which try of it asks, from 1.
        """
        if self._note(message, "sent").exists():
            return Fate.SENT
        told = self._note(message, "told")
        if attempt == 1 and _text(told) == task:
            told.unlink(missing_ok=True)
            return Fate.NEW
        # A note goes from `begun` to `told`, so look for them in this order.
        begun = self._note(message, "begun").exists() or told.exists()
        return Fate.UNKNOWN if begun else Fate.NEW

    def begin(self, message: str, allow_twice: bool = False) -> bool:
        """Note on disk that a message goes out now. False: another worker has noted the same."""
        begun = self._note(message, "begun")
        begun.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(begun, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            return allow_twice and not self._note(message, "sent").exists()
        _sync(begun.parent)
        # Another worker may have sent it between the look and this note.
        if self._note(message, "sent").exists():
            begun.unlink(missing_ok=True)
            return False
        return True

    def sent(self, message: str) -> None:
        """Note that the server has taken a message."""
        sent = self._note(message, "sent")
        try:
            os.replace(self._note(message, "begun"), sent)
        except FileNotFoundError:  # another worker took it for unknown
            sent.touch()
        self._note(message, "told").unlink(missing_ok=True)

    def clear(self, message: str) -> None:
        """Note that the server has not taken a message after all."""
        self._note(message, "begun").unlink(missing_ok=True)

    def tell(self, message: str, task: str) -> None:
        """Note that a dead letter says of a message that its fate is unknown."""
        told = self._note(message, "told")
        told.parent.mkdir(parents=True, exist_ok=True)
        part = told.with_suffix(f".{os.getpid()}")
        part.write_text(task)
        os.replace(part, told)
        self._note(message, "begun").unlink(missing_ok=True)

    def _note(self, message: str, kind: str) -> Path:
        return self._folder / message[:2] / f"{message}.{kind}"


def _text(path: Path) -> str | None:
    with contextlib.suppress(OSError):
        return path.read_text()
    return None


def _sync(folder: Path) -> None:
    """Make a new name in a folder outlast a crash of its machine."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError:  # some network disks sync no folders: they write names at once
        pass
    finally:
        os.close(fd)
