"""What was begun and what was sent, on the disk that all workers share: no message goes out twice.

A message's fate is unknown from the moment when the end of its data may reach the server until the
server has answered. A worker that dies then leaves a note that says so, and so does one whose
connection breaks. The notes are files, named by the message:

    MESSAGE.begun   the end of its data may have been sent. Made exclusively, so of two workers that
                    have the same task (one was frozen, say) only one sends. The one that sends
                    holds the lock of the file: without it, a note is that of a worker that is gone
    MESSAGE.sent    the server has taken it
    MESSAGE.told    its fate is unknown, and dead letters say so. It has their tasks, a line each

`qm retry` with a reason is a person's decision to send it again. It counts for the first try of the
task that has told the fate. Without a reason the fate stays unknown: somebody has had other dead
letters of the run tried again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}


class Fate(Enum):
    """What the ledger knows of a message. BUSY: a worker is sending it now."""

    NEW = "new"
    BUSY = "busy"
    SENT = "sent"
    UNKNOWN = "unknown"


class Ledger:
    """The notes of a campaign, for one try of one message."""

    def __init__(self, out: str) -> None:
        self._folder = Path(out) / "ledger"
        self._lock: int | None = None
        # What `clear` may take back: notes of earlier tries stay.
        self._own_begun = self._own_told = False

    def fate(self, message: str, task: str, *, again: bool) -> Fate:
        """What is known of a message. The decision of a person is noted.

        Args:
            task: which task asks, in one line, unlike that of any other master.
            again: this is its first try after somebody had it tried again and said why.
        """
        if self._note(message, "sent").exists():
            return Fate.SENT
        told, begun = self._note(message, "told"), self._note(message, "begun")
        decided = again and task in _lines(told)
        # Many may look at a time; one takes notes away.
        with _unused(begun, fcntl.LOCK_EX if decided else fcntl.LOCK_SH) as unused:
            if not unused:
                return Fate.BUSY
            if decided:
                begun.unlink(missing_ok=True)
                told.unlink(missing_ok=True)
                return Fate.NEW
            # A note goes from `begun` to `told`, so look for them in this order.
            unknown = begun.exists() or told.exists()
        # It goes from `begun` to `sent`, too.
        if self._note(message, "sent").exists():
            return Fate.SENT
        return Fate.UNKNOWN if unknown else Fate.NEW

    def begin(self, message: str, allow_twice: bool = False) -> bool:
        """Note on disk that a message goes out now. False: another worker has noted something.

        Raises:
            OSError: the note can't be made. There is none then.
        """
        begun = self._note(message, "begun")
        begun.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = _made_and_locked(begun)
            self._own_begun = True
        except FileExistsError:
            if allow_twice:
                self._lock = _locked(begun, fcntl.LOCK_EX)
            if self._lock is None:
                return False
        try:
            _sync(begun.parent)
            # Another worker may have sent it between the look and this note, or told its fate.
            was_told = self._note(message, "told").exists()
            if not self._note(message, "sent").exists() and (allow_twice or not was_told):
                self._own_told = self._own_begun and not was_told
                return True
        except BaseException:
            self._take_back(begun)
            raise
        self._take_back(begun)
        return False

    def sent(self, message: str) -> None:
        """Note that the server has taken a message."""
        sent = self._note(message, "sent")
        try:
            os.replace(self._note(message, "begun"), sent)
        except FileNotFoundError:  # another worker took it for unknown
            sent.touch()
        self._note(message, "told").unlink(missing_ok=True)
        self.let_go()

    def clear(self, message: str) -> None:
        """Note that the server has not taken a message after all, if this try has begun it."""
        # Whoever has told its fate meanwhile has told it of this try.
        if self._own_told:
            self._note(message, "told").unlink(missing_ok=True)
        self._take_back(self._note(message, "begun"))

    def tell(self, message: str, task: str) -> None:
        """Note that the dead letter of a task says of a message that its fate is unknown."""
        told = self._note(message, "told")
        told.parent.mkdir(parents=True, exist_ok=True)
        if task not in _lines(told):
            _append(told, task)
        begun = self._note(message, "begun")
        self.let_go()
        with _unused(begun, fcntl.LOCK_EX) as unused:
            if unused:
                begun.unlink(missing_ok=True)

    def let_go(self) -> None:
        """End the try: what it has begun and not ended is of unknown fate."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None
        self._own_begun = self._own_told = False

    def _take_back(self, begun: Path) -> None:
        if self._own_begun:
            begun.unlink(missing_ok=True)
        self.let_go()

    def _note(self, message: str, kind: str) -> Path:
        return self._folder / message[:2] / f"{message}.{kind}"


def _made_and_locked(path: Path) -> int:
    """Make a file that is locked from its first moment; returns its descriptor.

    Raises:
        FileExistsError: it is there.
    """
    part = path.with_suffix(f".{uuid.uuid4().hex}")
    fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.link(part, path)
    except BaseException:
        os.close(fd)
        raise
    finally:
        part.unlink(missing_ok=True)
    return fd


def _locked(path: Path, kind: int) -> int | None:
    """Lock a file that nobody has locked; returns its descriptor. None: it is locked, or gone."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


@contextlib.contextmanager
def _unused(path: Path, kind: int) -> Iterator[bool]:
    """Whether nobody else holds the lock of a file, or it is not there; held meanwhile."""
    fd = _locked(path, kind)
    try:
        yield fd is not None or not path.exists()
    finally:
        if fd is not None:
            os.close(fd)


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text("utf-8").splitlines()
    return []


def _append(path: Path, line: str) -> None:
    fd = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # NFS appends what two hosts write to the same place
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


def _sync(folder: Path) -> None:
    """Make a new name in a folder outlast a crash of its machine."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:  # some network disks sync no folders: they write names at once
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(fd)
