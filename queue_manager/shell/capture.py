"""What a command prints to one stream, in bounded memory.

The beginning stays in memory. If there is more, all of it goes into a file, where there is a folder
for such files. The file has no name before the command has ended: what a killed slot has written
goes with it.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
from collections.abc import Callable

HEAD_BYTES = 4096
"""So much of an output stays at hand if all of it is in a file."""

MOST_BYTES = 1024**3
"""A file takes no more than this. The rest is counted."""

_READ_BYTES = 256 * 1024
_NO_NAME = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
_HAS_NONE = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Capture:
    """One stream of one command.

    Args:
        keep_bytes: so much is kept at hand.
        path: names the file for what is longer. Empty: nothing more is kept.
    """

    def __init__(self, keep_bytes: int, path: Callable[[], str]) -> None:
        self.reading, self.writing = os.pipe2(os.O_CLOEXEC)
        self._keep_bytes, self._path_of = keep_bytes, path
        self._path = ""
        self._parts: list[bytes] = []
        self._bytes = 0
        self._file = -1
        self._named = False
        self._lost = ""

    def read(self) -> bool:
        """Take what has come. False: the stream has ended."""
        part = os.read(self.reading, _READ_BYTES)
        before = self._bytes
        self._bytes += len(part)
        if self._bytes <= self._keep_bytes:
            self._parts.append(part)
            return bool(part)
        if before <= self._keep_bytes:
            self._begin_file()
            self._parts.append(part[: self._keep_bytes - before])
        self._write(part, before)
        return bool(part)

    def _begin_file(self) -> None:
        """The output is too long: from now on it goes into its file."""
        self._path = self._path_of()
        if not self._path:
            self._lost = "there is no folder for large outputs"
            return
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._file = self._opened()
        except OSError as error:
            self._lose(error)
        for part in self._parts:
            self._write(part, 0)

    def _opened(self) -> int:
        """The new file, without a name where the file system has such files."""
        try:
            return os.open(os.path.dirname(self._path), _NO_NAME, 0o666)
        except OSError as error:
            if error.errno not in _HAS_NONE:
                raise
        self._named = True
        return os.open(self._path, _NEW_FILE, 0o666)

    def _name(self) -> None:
        """Give the file its name."""
        folder = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            # With a folder it is linkat(2), which follows the link in /proc.
            os.link(f"/proc/self/fd/{self._file}", self._path, src_dir_fd=folder)
        finally:
            os.close(folder)
        self._named = True

    def discard(self) -> None:
        """Remove the file, if there is one: the command is tried again."""
        if self._named:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def _write(self, part: bytes, before: int) -> None:
        if self._file < 0:
            return
        if before + len(part) > MOST_BYTES:
            self._lost = f"the file has the first {MOST_BYTES:,} bytes"
            part = part[: max(0, MOST_BYTES - before)]
        view = memoryview(part)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self._lost = f"{self._path}: {error.strerror}"
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.discard()

    def close(self) -> None:
        """Nothing more is read."""
        os.close(self.reading)
        if self._file >= 0 and not self._named:
            try:
                self._name()
            except OSError as error:
                self._lose(error)
        if self._file >= 0:
            os.close(self._file)

    def told(self, name: str) -> dict[str, str | bytes | int]:
        """What the result of the command says of this stream. name: `stdout` or `stderr`.

        The text itself, or bytes where it is no UTF-8. Of a long output that is its beginning, and
        `NAME_bytes` is its length, `NAME_file` has all of it, `NAME_lost` says why something is
        missing.
        """
        is_cut = self._bytes > self._keep_bytes
        data = b"".join(self._parts)
        if is_cut and self._file >= 0:
            data = data[:HEAD_BYTES]
        told: dict[str, str | bytes | int] = {name: _text(data, is_cut)}
        if is_cut:
            told[f"{name}_bytes"] = self._bytes
            if self._file >= 0:
                told[f"{name}_file"] = self._path
            if self._lost:
                told[f"{name}_lost"] = self._lost
        return told


def _text(data: bytes, is_cut: bool) -> str | bytes:
    """Bytes as a text, if they are UTF-8. is_cut: the last character may be incomplete."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, not is_cut)
    except UnicodeDecodeError:
        return data
