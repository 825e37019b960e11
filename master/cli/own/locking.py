"""Files that one process at a time has.

The lock is the kernel's (flock(2)): it ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def locked(path: Path, mode: int = 0o600, *, waits: bool = False) -> int | None:
    """Open a file, which is made if it is not there, and lock it until it is closed.

    Returns its descriptor; None if another process has it, unless this one waits. Raises OSError.
    """
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(path, flags, mode)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            if is_there(file, path):  # else its former owner has removed or renamed it meanwhile
                return file
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def is_there(file: int, path: Path) -> bool:
    """Whether a path still names a file that is open."""
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except OSError:
        return False
