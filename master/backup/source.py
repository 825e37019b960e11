"""The store that is copied: read beside its master, without a lock that the master waits for.

SQLite begins its log again once all of it is in the file. A read transaction (`hold`) keeps it from
that: if all was in the file when it began, from doing so more than once. So what was read is
checked afterwards. What a new turn has not overwritten yet is still there.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from queue_manager.errors import StoreError

from .frames import Frame, Head, follows, read_frame, read_frames, read_head, read_page, turn_number
from .records import Position

FILE = "queue.sqlite3"
CHUNK_BYTES = 1024 * 1024


class LostTrackError(StoreError):
    """The log has begun again, and what it had before is not all known: copy the whole store."""


class MovedOnError(StoreError):
    """The log began again while it was read: read once more."""


@dataclass(frozen=True)
class Batch:
    """What is new in a store: for each page that has changed, the frame with its newest version.

    old: of these frames, those of the turn before. frames: how many were written in all.
    """

    position: Position
    size_bytes: int
    pages: dict[int, int]
    old: frozenset[int]
    frames: int


class Source:
    """The files of a store in a folder.

    Raises:
        StoreError: there is no store, or it can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._files: list[int] = []
        self._lock = threading.Lock()
        self.is_held = False
        try:
            os.stat(self.path)
            self._db = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=10.0
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"there is no store in {folder}: {error}") from error
        try:
            self._open()
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise StoreError(f"can't read {self.path}: {error}") from error
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        if self._db.execute("PRAGMA journal_mode").fetchone()[0] != "wal" or not self.schema:
            raise StoreError(f"{self.path} is no store of a master, or a master is making it")
        self._db.execute("SELECT 1 FROM meta LIMIT 1").fetchone()  # makes the files of the log
        for end in ("", "-wal", "-shm"):
            self._files.append(os.open(f"{self.path}{end}", os.O_RDONLY | os.O_CLOEXEC))
        self._main, self._log, self._index = self._files
        self._page_bytes = int(self._db.execute("PRAGMA page_size").fetchone()[0])

    @property
    def schema(self) -> int:
        """The number of its schema."""
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    @property
    def log_bytes(self) -> int:
        """How long the file of the log is."""
        return os.fstat(self._log).st_size

    def is_there(self) -> bool:
        """Whether these are still the files that a master opens."""
        try:
            there = os.stat(self.path)
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._main))

    def head(self) -> Head:
        """The end of the log."""
        return read_head(self._index)

    # --- a read transaction ---

    def hold(self) -> None:
        """Keep the log from beginning again, until `let_go`."""
        with self._lock:
            if not self.is_held:
                self._db.execute("BEGIN")
                self._db.execute("SELECT 1 FROM meta LIMIT 1").fetchone()
                self.is_held = True

    def let_go(self) -> None:
        """Let the log begin again. Another thread may call it."""
        with self._lock:
            if self.is_held:
                self.is_held = False
                self._db.execute("COMMIT")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """`hold` for a while."""
        self.hold()
        try:
            yield
        finally:
            self.let_go()

    # --- all of it ---

    def whole(self) -> Batch:
        """The store as it is now. It must be held, and as long as `read` goes on.

        No frame behind the one up to which it is held goes into the file then. So a page is in the
        log, or in the file as it was.
        """
        head = self.head()
        pages: dict[int, int] = {}
        if head.in_file < head.frames:
            pages = {frame.page: frame.place for frame in self._turn(head)}
        size = head.pages * self._page_bytes or os.fstat(self._main).st_size
        return Batch(self._position(head), size, pages, frozenset(), head.frames)

    def read(self, batch: Batch) -> Iterator[tuple[int, bytes]]:
        """All bytes of the store in order, as (offset, bytes). batch: `whole`."""
        size = self._page_bytes
        step = CHUNK_BYTES // size
        last = batch.size_bytes // size
        for first in range(1, last + 1, step):
            count = min(step, last + 1 - first)
            data = os.pread(self._main, count * size, (first - 1) * size)
            changed = [page for page in range(first, first + count) if page in batch.pages]
            if changed or len(data) < count * size:
                mixed = bytearray(data.ljust(count * size, b"\0"))
                for page in changed:
                    at = (page - first) * size
                    mixed[at : at + size] = read_page(self._log, batch.pages[page], size)
                data = bytes(mixed)
            yield (first - 1) * size, data
        if self._is_over(batch):
            raise MovedOnError("the log of the store began again while it was read")

    def _is_over(self, batch: Batch) -> bool:
        """Whether frames of the batch may have been overwritten."""
        return bool(batch.pages) and self.head().salts != batch.position.salts

    # --- what is new ---

    def resumed(self, at: Position) -> Position | None:
        """The position of a copy that this log goes on from; None: it is not known here."""
        head = self.head()
        if at.salts != head.salts or not any(at.salts) or at.frames > head.frames:
            return None
        if at.frames:
            frame = read_frame(self._log, at.frames, self._page_bytes)
            if frame is None or (frame.salts, frame.checksum) != (at.salts, at.checksum):
                return None
        since = sum(f.ends_commit for f in read_frames(self._log, at.frames, head.frames, head))
        commits = (head.commits - since) % 2**32
        return Position(at.salts, at.frames, commits, at.checksum, at.turn)

    def since(self, at: Position) -> Batch | None:
        """What was committed behind a position. None: nothing.

        Raises:
            LostTrackError: not all of it is known any more.
        """
        head = self.head()
        if (head.salts, head.frames) == (at.salts, at.frames):
            return None
        if head.salts == at.salts:
            found = list(read_frames(self._log, at.frames, head.frames, head))
            if len(found) != head.frames - at.frames:
                raise LostTrackError("the log of the store was cut off")
            return self._batch(head, [], found)
        if any(at.salts) and not follows(head.salts, at.salts):  # without any: there was no log
            raise LostTrackError("the log of the store began again more than once")
        found = list(self._turn(head))
        commits = sum(frame.ends_commit for frame in found)
        return self._batch(head, self._rest(at, (head.commits - at.commits - commits)), found)

    def _rest(self, at: Position, commits: int) -> list[Frame]:
        """The last frames of the turn before this one. commits: so many of them end a commit."""
        commits %= 2**32
        rest: list[Frame] = []
        place = at.frames
        while commits:
            place += 1
            frame = read_frame(self._log, place, self._page_bytes)
            if frame is None or frame.salts != at.salts:
                raise LostTrackError("the log of the store began again before its end was read")
            rest.append(frame)
            commits -= frame.ends_commit
        return rest

    def _turn(self, head: Head) -> Iterator[Frame]:
        return read_frames(self._log, 0, head.frames, head)

    def _batch(self, head: Head, rest: list[Frame], found: list[Frame]) -> Batch:
        pages = {frame.page: frame.place for frame in rest}
        new = {frame.page: frame.place for frame in found}
        old = frozenset(pages.keys() - new.keys())
        size = head.pages * self._page_bytes
        most = head.pages
        pages = {page: place for page, place in (pages | new).items() if page <= most}
        return Batch(self._position(head), size, pages, old, len(rest) + len(found))

    def read_new(self, batch: Batch) -> Iterator[tuple[int, bytes]]:
        """The changed pages in order, as (offset, bytes). batch: of `since`.

        Raises:
            MovedOnError: frames may have been overwritten meanwhile. Nothing of this counts.
        """
        size = self._page_bytes
        for page in sorted(batch.pages):
            place = batch.pages[page]
            data = read_page(self._log, place, size)
            if page in batch.old:
                # A frame's head is overwritten before its page is.
                frame = read_frame(self._log, place, size)
                if frame is None or frame.salts == batch.position.salts:
                    raise MovedOnError("the log of the store was overwritten while it was read")
            yield (page - 1) * size, data
        if self.head().salts != batch.position.salts:
            raise MovedOnError("the log of the store began again while it was read")

    def _position(self, head: Head) -> Position:
        frame = read_frame(self._log, head.frames, self._page_bytes) if head.frames else None
        checksum = b"" if frame is None else frame.checksum
        turn = turn_number(self._log)
        return Position(head.salts, head.frames, head.commits, checksum, turn)

    def close(self) -> None:
        """Close the files. The connection goes first: closing a file drops its locks."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        for file in self._files:
            os.close(file)
        self._files.clear()
