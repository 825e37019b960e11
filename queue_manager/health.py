"""The health file. A main loop touches it, and the container's health check reads its age.

`python -m queue_manager.health [MAX_AGE_S]` exits 0 if the file was touched in the last 15 s (or
MAX_AGE_S), else 1. The file holds a time of the monotonic clock: a jump of the wall clock does not
move that clock, and all processes of one machine share it.

A container asks every few seconds, and dozens of containers may share one processor. So this file
runs by itself, too, and imports nothing that takes long: `python -IS health.py` takes a tenth of
the time of `python -m queue_manager.health`.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_AGE_S = 15.0
_FILE_CHARS = 64


def default_path() -> str:
    """The health file where nobody names one: in the first temporary folder that may be written to.

    Nothing is written to find it, as `tempfile` does. So it is the same one when the disk is full,
    and whoever has no health file, such as a client, does not fail for the lack of a folder.
    """
    named = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    places = [name for name in named if name.startswith("/")] + ["/tmp", "/var/tmp", "/usr/tmp"]
    fit = (name for name in places if os.path.isdir(name) and os.access(name, os.W_OK | os.X_OK))
    return os.path.join(next(fit, "/tmp"), f"quartermaster-health-{os.getuid()}")


def touch(path: Path) -> None:
    """Note in the file that this process is well now.

    Raises:
        OSError: the file cannot be written.
    """
    descriptor = _open(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.ftruncate(descriptor, os.write(descriptor, f"{time.monotonic():020.3f}\n".encode()))
    finally:
        os.close(descriptor)


def age_s(path: Path | str) -> float:
    """Seconds since the file was touched.

    Raises:
        OSError: there is no such file.
        ValueError: the file is no health file, or it is from before a reboot.
    """
    with open(_open(path, os.O_RDONLY)) as file:
        age = time.monotonic() - float(file.read(_FILE_CHARS))
    if age < -1.0:
        raise ValueError("from before a reboot")
    return max(age, 0.0)


def _open(path: Path | str, flags: int) -> int:
    """Open the health file. Its folder is often /tmp, where another user may put something.

    A symbolic or hard link would lead the writer to another file, so both are refused. A FIFO would
    hold up the loop for ever, so it is opened without waiting (O_NONBLOCK) and refused. A device
    such as /dev/null is accepted, because other users can't make one.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    status = os.fstat(descriptor)
    if stat.S_ISCHR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a plain file with one name: remove it", str(path))


def main(args: Sequence[str] = ()) -> int:
    """Print one line, and return the exit code."""
    try:
        max_age_s = float(args[0]) if args else MAX_AGE_S
        age = age_s(os.environ.get("HEALTH_FILE") or default_path())
    except OSError as error:
        print(f"unhealthy: {error.filename}: {error.strerror}")
    except ValueError as error:
        print(f"unhealthy: {error}")
    else:
        well = age <= max_age_s
        print(f"{'healthy' if well else 'unhealthy'}: last sign of life {age:.1f} s ago")
        return 0 if well else 1
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
