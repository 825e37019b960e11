"""How many bytes one run has stored in one folder: a number in a file, to which all workers add.

The queue can't count them: the size is known when a picture has come.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

FOLDER = ".taken"


class Taken:
    """The count of one run in one folder.

    Args:
        most: bytes; 0 is any number.
    """

    def __init__(self, folder: Path, run: str, most: int) -> None:
        name = hashlib.sha256(run.encode()).hexdigest()[:32]
        self._path, self._most = folder / FOLDER / name, most

    def is_full(self) -> bool:
        """Whether no more may be stored. Raises OSError."""
        if not self._most:
            return False
        try:
            return _number(self._path.read_bytes()) >= self._most
        except FileNotFoundError:
            return False

    def add(self, size_bytes: int) -> bool:
        """Count a picture that is about to be stored. False, and not counted, if there is no room.

        The picture that fills the folder is stored whole. Raises OSError.
        """
        if not self._most:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # for microseconds, until the file is closed
            before = _number(os.pread(file, 32, 0))
            if before >= self._most:
                return False
            os.pwrite(file, b"%020d" % (before + size_bytes), 0)
            return True
        finally:
            os.close(file)


def _number(text: bytes) -> int:
    """The number in the file, 0 if the file is new or a power cut has emptied it."""
    return int(text) if text.isdigit() else 0
