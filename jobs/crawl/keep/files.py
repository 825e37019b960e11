"""The files of a crawl, stored by content: `out/ab/cdef….png`, the SHA-256 of what is in them.

A file is written under another name, and renamed when it is whole. The next run looks at the sizes,
and fetches again what a power cut has lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from itertools import count
from pathlib import Path

PART = ".part"
IN_MEMORY_BYTES = 1024 * 1024
OLD_S = 3600.0
"""Nobody works on an unfinished file that is older: no task of a crawl lasts that long."""


class Store:
    """The folder of one crawl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = folder / PART
        self._root = f"{folder}{os.sep}"
        self._made: set[str] = set()
        # No other process on any machine has this name, not even a fork.
        self._mine = f"{uuid.uuid4().hex}-{os.getpid()}"
        self._numbers = count()  # also unique among threads

    def has(self, name: str, size_bytes: int) -> bool:
        """Whether a file is there and has the right size."""
        try:
            return os.stat(f"{self._root}{name}").st_size == size_bytes
        except OSError:
            return False

    def incoming(self) -> Incoming:
        """A file that is about to come."""
        return Incoming(self)

    def part(self) -> Path:
        """A new name for something unfinished."""
        return Path(self.part_name())

    def part_name(self) -> str:
        """`part`, as text."""
        if PART not in self._made:
            self._parts.mkdir(parents=True, exist_ok=True)
            self._made.add(PART)
        return f"{self._root}{PART}{os.sep}{self._mine}-{next(self._numbers)}"

    def place(self, name: str) -> str:
        """The path of the file with that name. Its folder is made if it is missing."""
        parent = name.partition("/")[0]
        if parent not in self._made:
            (self.folder / parent).mkdir(parents=True, exist_ok=True)
            self._made.add(parent)
        return f"{self._root}{name}"

    def sweep(self) -> None:
        """Remove what killed workers have left unfinished."""
        with contextlib.suppress(OSError):
            for path in self._parts.iterdir():
                if time.time() - path.stat().st_mtime > OLD_S:
                    path.unlink(missing_ok=True)


class Incoming:
    """The body of one picture while it comes: in memory, or in an unfinished file if it is large.

    Attributes:
        size_bytes: how much has come.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._digest = hashlib.sha256()
        self._chunks: list[bytes] = []
        self._path: str | None = None
        self._file: int | None = None
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes. Raises OSError when the disk is full."""
        self.size_bytes += len(chunk)
        self._digest.update(chunk)
        self._chunks.append(chunk)
        if self.size_bytes > IN_MEMORY_BYTES:
            self._spill()

    @property
    def head(self) -> bytes:
        """All that came, or the first megabyte of it."""
        if self._path is None:
            return b"".join(self._chunks)
        with open(self._path, "rb") as file:
            return file.read(IN_MEMORY_BYTES)

    def whole(self) -> bytes:
        """All that came."""
        if self._path is None:
            return b"".join(self._chunks)
        self._spill()
        return Path(self._path).read_bytes()

    def name(self, ending: str) -> str:
        """The name in the store: `ab/cdef….ending`."""
        digest = self._digest.hexdigest()
        return f"{digest[:2]}/{digest[2:]}.{ending}"

    def keep(self, ending: str) -> str:
        """Store the file, unless it is there already. Returns its name."""
        name = self.name(ending)
        try:
            if not self._store.has(name, self.size_bytes):
                self._spill()
                assert self._path is not None  # spilled
                os.replace(self._path, self._store.place(name))
                self._path = None
        finally:
            self.drop()
        return name

    def drop(self) -> None:
        """Forget what came."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            self._path = None
        self._chunks.clear()

    def _spill(self) -> None:
        if self._file is None:
            self._path = self._store.part_name()
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        assert self._file is not None  # just opened, or before
        for chunk in self._chunks:
            written = os.write(self._file, chunk)
            while written < len(chunk):
                written += os.write(self._file, memoryview(chunk)[written:])
        self._chunks.clear()
