"""The health file: a main loop touches it, the container's health check reads its age.

`python -m queue_manager.health [MAX_AGE_S]` exits 0 when it was touched in the last 15 s (or
MAX_AGE_S), else 1. The file holds the monotonic clock, which a jump of the wall clock does not
move, and which all processes of one machine share.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .errors import SettingsError
from .settings import load_settings

MAX_AGE_S = 15.0
_LONGEST = 64


def touch(path: Path) -> None:
    """Say that this process is well, now.

    Raises:
        OSError: the file cannot be written.
    """
    descriptor = _open(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.ftruncate(descriptor, os.write(descriptor, f"{time.monotonic():020.3f}\n".encode()))
    finally:
        os.close(descriptor)


def age_s(path: Path) -> float:
    """Seconds since the file was touched.

    Raises:
        OSError: there is no such file.
        ValueError: it is not a health file, or one from before a reboot.
    """
    with open(_open(path, os.O_RDONLY)) as file:
        age = time.monotonic() - float(file.read(_LONGEST))
    if age < -1.0:
        raise ValueError("from before a reboot")
    return max(age, 0.0)


def _open(path: Path, flags: int) -> int:
    """Open the health file. The folder is often /tmp, where somebody else may have put something.

    A symbolic or hard link would lead the writer to another file. A FIFO would hold up the loop for
    ever, so it is opened without waiting (O_NONBLOCK) and refused. A device such as /dev/null is
    nothing that somebody else can put there.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    found = os.fstat(descriptor)
    if stat.S_ISCHR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a plain file with one name: remove it", str(path))


def main(words: Sequence[str] = ()) -> int:
    """The command: one line, and the exit code."""
    try:
        max_age_s = float(words[0]) if words else MAX_AGE_S
        path = load_settings().health_file
        age = age_s(path)
    except OSError as error:
        print(f"unhealthy: {error.filename}: {error.strerror}")
    except (SettingsError, ValueError) as error:
        print(f"unhealthy: {error}")
    else:
        well = age <= max_age_s
        print(f"{'healthy' if well else 'unhealthy'}: last sign of life {age:.1f} s ago")
        return 0 if well else 1
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
