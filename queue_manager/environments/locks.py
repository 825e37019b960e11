"""Files that one process at a time has, or that many share (flock(2)).

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


def never() -> bool:
    """For whoever does not wait for a lock."""
    return False


def take(
    path: Path, *, shared: bool = False, wait: Callable[[], bool] | None, mode: int = 0o600
) -> int | None:
    """Take the lock of a file, which is made if it is not there.

    wait: is asked before each pause whether to wait on, as `never` is; None: wait until it is free.
    mode: of a file that is made. Returns its descriptor; None: `wait` said no.

    Raises:
        OSError: the file can't be made or locked.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, mode)
        try:
            fcntl.flock(descriptor, kind if wait is None else kind | fcntl.LOCK_NB)
            if is_at(descriptor, path):  # else it was removed or renamed before we had it
                return descriptor
        except BlockingIOError:
            if wait is None or not wait():
                os.close(descriptor)
                return None
            sleep(_LOOK_S)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def held(path: Path, *, wait: Callable[[], bool] | None) -> Iterator[int | None]:
    """Have the lock to oneself for a while. Yields as `take` returns, and raises as `take` does."""
    descriptor = take(path, wait=wait)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether a path names the file of a descriptor, and not another one by now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False
