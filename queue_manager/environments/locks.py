"""Locks of environments (flock(2)): one process makes or removes one, many processes use it.

The kernel gives a lock back when the last process that has its descriptor ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

_LOOK_S = 0.1


def take(path: Path, *, shared: bool = False, wait: Callable[[], bool]) -> int | None:
    """Take the lock of a file, which is made if it is not there. Returns its descriptor.

    wait: is asked before each pause whether to wait on. None: it said no.

    Raises:
        OSError: the file can't be made or locked.
    """
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            if _is_at(descriptor, path):  # else it was removed while we waited
                return descriptor
        except BlockingIOError:
            if not wait():
                os.close(descriptor)
                return None
            sleep(_LOOK_S)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def held(path: Path, *, wait: Callable[[], bool]) -> Iterator[int | None]:
    """Have the lock to oneself for a while. Yields as `take` returns, and raises as `take` does."""
    descriptor = take(path, wait=wait)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
