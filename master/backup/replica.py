"""A copy of a store in a folder: the store's file as it was, and logs of what was written since.

`N/base` is the file, `N/log-M` are the logs, each of which ends with a whole commit. A log that is
long enough is written into the file, then it goes. Whatever ends this process, file and logs
together are the store as of the last commit. A new copy of all is made beside the one that counts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from queue_manager.sizes import size_text

from .copied import apply, locked, logs_of, newest, number_of, private, sync, whole_commits
from .records import (
    BASE,
    COMMIT,
    WRITE,
    Commit,
    CopyError,
    Part,
    Position,
    commit_of,
    packed,
    packed_commit,
    size_of,
)

STATE = "copy.json"
"""The file that tells people which commit the copy has."""

_LOG_BYTES = 64 * 1024 * 1024
"""How long a log gets before it is written into the file."""

_SYNC_BYTES = 8 * 1024 * 1024


class Replica:
    """A `Target` in a folder.

    Raises:
        CopyError: the folder can't be used, or another process writes a copy there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new: BinaryIO | None = None
        self._log: BinaryIO | None = None
        self._applying: threading.Thread | None = None
        self._failed: OSError | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = locked(folder)
        except OSError as error:
            raise CopyError(f"can't write a copy to {folder}: {error}") from error
        self._number = 0
        self._commit: Commit | None = None
        with self._checked():
            self._tidy()

    # --- as a target ---

    @property
    def position(self) -> Position | None:
        """How far the copy has come; None: it is empty."""
        return None if self._commit is None else self._commit.position

    def begin(self, size_bytes: int) -> None:
        """All of a store follows. There must be room for it beside the copy that is there."""
        with self._checked():
            self._drop_new()
            room = os.statvfs(self._folder)
            free = room.f_bavail * room.f_frsize
            if free < size_bytes:
                raise CopyError(
                    f"no room in {self._folder} for a whole copy: it takes {size_text(size_bytes)},"
                    f" and {size_text(free)} are free"
                )
            place = self._new_place
            place.mkdir(mode=0o700)
            self._new = open(place / "base", "xb", opener=private)  # noqa: SIM115
            self._unsynced = 0

    def write(self, offset: int, data: bytes) -> None:
        """Bytes of the store's file."""
        with self._checked():
            if self._new is not None:
                os.pwrite(self._new.fileno(), data, offset)
                self._unsynced += len(data)
                if self._unsynced > _SYNC_BYTES:  # others who sync on this disk wait for less
                    os.fdatasync(self._new.fileno())
                    self._unsynced = 0
                return
            self._opened().write(packed(WRITE, data, offset))

    def commit(self, commit: Commit) -> None:
        """What was written counts, and is on disk."""
        with self._checked():
            if self._new is not None:
                self._replace(self._new, commit)
            else:
                log = self._opened()
                log.write(packed_commit(commit))
                log.flush()
                os.fdatasync(log.fileno())
                self._good = log.tell()
            self._commit = commit
            self._tell(commit.at)
            if self._good > _LOG_BYTES and not self._is_applying():
                self._next_log()

    def abort(self) -> None:
        """What was written since the last commit counts for nothing."""
        with self._checked():
            self._drop_new()
            if self._log is not None:
                self._log.flush()
                self._log.seek(self._good)
                self._log.truncate()

    def note(self, at: float) -> None:
        """Nothing has changed by that time (UTC epoch, s)."""
        with self._checked():
            self._tell(at)

    def close(self) -> None:
        """End in good order. The copy stays."""
        if self._applying is not None:
            self._applying.join()
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.close()
        self._log = None
        with contextlib.suppress(OSError):
            self._drop_new()
        self._lock.close()

    # --- the folder ---

    @property
    def _place(self) -> Path:
        return self._folder / str(self._number)

    @property
    def _new_place(self) -> Path:
        return self._folder / f"{self._number + 1}.new"

    def _tidy(self) -> None:
        """Find the copy that counts, write its older logs into its file, drop what is left."""
        self._number = newest(self._folder)
        for path in self._folder.iterdir():
            if path.is_dir() and path.name.removesuffix(".new").isdigit() and path != self._place:
                shutil.rmtree(path)
        if not self._number:
            return
        logs = logs_of(self._place)
        for path in logs[:-1]:
            self._apply(path)
        self._log = open(logs[-1], "r+b")  # noqa: SIM115 - open as long as this
        self._good, self._commit = whole_commits(self._log)
        self._log.seek(self._good)
        self._log.truncate()

    def _drop_new(self) -> None:
        if self._new is not None:
            self._new.close()
            self._new = None
        shutil.rmtree(self._new_place, ignore_errors=True)

    def _replace(self, new: BinaryIO, commit: Commit) -> None:
        """What was written since `begin` takes the place of the copy."""
        os.ftruncate(new.fileno(), commit.size_bytes)
        os.fsync(new.fileno())
        new.close()
        self._new = None
        if self._applying is not None:
            self._applying.join()
        if self._log is not None:
            self._log.close()
        self._log = self._made(self._new_place / "log-1", commit)
        old = self._place
        self._new_place.rename(self._folder / str(self._number + 1))
        sync(self._folder)
        self._number += 1
        if old.name != "0":
            shutil.rmtree(old, ignore_errors=True)

    def _made(self, path: Path, commit: Commit) -> BinaryIO:
        """A new log that begins with what the file, and logs before it, have."""
        log = open(path, "xb", opener=private)  # noqa: SIM115
        log.write(packed_commit(commit))
        log.flush()
        os.fsync(log.fileno())
        sync(path.parent)
        self._good = log.tell()
        return log

    def _opened(self) -> BinaryIO:
        if self._log is None:
            raise CopyError(f"the copy in {self._folder} has not begun")
        return self._log

    # --- logs go into the file ---

    def _next_log(self) -> None:
        """Begin another log, and write the one before it into the file meanwhile."""
        log, commit = self._opened(), self._commit
        assert commit is not None
        log.close()
        *_, path = logs_of(self._place)
        self._log = self._made(path.with_name(f"log-{number_of(path) + 1}"), commit)
        self._applying = threading.Thread(target=self._apply_aside, args=(path,))
        self._applying.start()

    def _is_applying(self) -> bool:
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        return self._applying is not None and self._applying.is_alive()

    def _apply_aside(self, path: Path) -> None:
        try:
            self._apply(path)
        except OSError as error:
            self._failed = error

    def _apply(self, path: Path) -> None:
        """Write a log into the file. It may be done again: the bytes are the same."""
        with open(path, "rb") as log, open(self._place / "base", "r+b", buffering=0) as base:
            apply(log, base)
            os.fsync(base.fileno())
        path.unlink()

    def _tell(self, at: float) -> None:
        if self._commit is None:
            return
        position = self._commit.position
        told = {"complete_at": at, "turn": position.turn, "frames": position.frames}
        path = self._folder / STATE
        part = path.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(told) + b"\n")
        part.replace(path)

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CopyError(f"can't write the copy in {self._folder}: {error}") from error


def take(part: Part, target: Replica) -> bool:
    """Give a part that came to the copy. Returns whether its sender waits for an answer."""
    if part.kind == WRITE:
        target.write(part.offset, part.body)
    elif part.kind == COMMIT:
        target.commit(commit_of(part))
        return True
    elif part.kind == BASE:
        target.begin(size_of(part))
    elif part.kind == b"A":
        target.abort()
    else:
        target.note(msgspec.msgpack.decode(part.body, type=float))
        return True
    return False
