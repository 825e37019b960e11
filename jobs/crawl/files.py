"""The files of a crawl, stored by content: `out/ab/cdef….png`, the SHA-256 of what is in them.

A file has its name only when it is whole: it is written under another one and renamed. What is
lost in a power cut is fetched again by the next run, which looks at the sizes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from pathlib import Path

PART = ".part"
IN_MEMORY_BYTES = 1024 * 1024
OLD_S = 3600.0
"""So old an unfinished file is one that somebody left: no task of a crawl lasts that long."""


class Store:
    """The folder of one crawl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = folder / PART
        self._made: set[str] = set()

    def has(self, name: str, size_bytes: int) -> bool:
        """Whether a file is there, as large as it should be."""
        try:
            return (self.folder / name).stat().st_size == size_bytes
        except OSError:
            return False

    def incoming(self) -> Incoming:
        """A file that is about to come."""
        return Incoming(self)

    def part(self) -> Path:
        """A new name for something unfinished."""
        if not self._parts.is_dir():
            self._parts.mkdir(parents=True, exist_ok=True)
        return self._parts / uuid.uuid4().hex

    def place(self, name: str) -> Path:
        """Where the file of a name is; its folder is there afterwards."""
        parent = name.partition("/")[0]
        if parent not in self._made:
            (self.folder / parent).mkdir(parents=True, exist_ok=True)
            self._made.add(parent)
        return self.folder / name

    def sweep(self) -> None:
        """Remove what killed workers have left unfinished."""
        with contextlib.suppress(OSError):
            for path in self._parts.iterdir():
                if time.time() - path.stat().st_mtime > OLD_S:
                    path.unlink(missing_ok=True)


class Incoming:
    """The body of one picture while it comes: in memory, or in an unfinished file if it is large.

    Attributes:
        size_bytes: so much has come.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._digest = hashlib.sha256()
        self._chunks: list[bytes] = []
        self._path: Path | None = None
        self._file: int | None = None
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        """The next bytes. Raises OSError when the disk is full."""
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
        with self._path.open("rb") as file:
            return file.read(IN_MEMORY_BYTES)

    def whole(self) -> bytes:
        """All that came."""
        if self._path is None:
            return b"".join(self._chunks)
        self._spill()
        return self._path.read_bytes()

    def keep(self, ending: str) -> str:
        """Store it; returns its name, `ab/cdef….ending`. Once for all who bring the same."""
        digest = self._digest.hexdigest()
        name = f"{digest[:2]}/{digest[2:]}.{ending}"
        try:
            if not self._store.has(name, self.size_bytes):
                self._spill()
                assert self._path is not None  # it has spilled
                os.replace(self._path, self._store.place(name))
                self._path = None
        finally:
            self.drop()
        return name

    def drop(self) -> None:
        """It is not wanted."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None
        self._chunks.clear()

    def _spill(self) -> None:
        if self._file is None:
            self._path = self._store.part()
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        for chunk in self._chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._file, view) :]
        self._chunks.clear()
