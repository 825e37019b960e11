"""Reads the inputs of a command from files or from standard input, one after the other.

This module owns the four forms that they may have. It holds one piece of a file in memory, and
knows nothing of what is done with an input. Files are read more than once, over hours: one that has
another name or text by then is noticed.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import stat
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from itertools import chain, count
from pathlib import Path
from typing import Any

from queue_manager.errors import InputError

STDIN = "-"
_READ_BYTES = 256 * 1024
_HELD = 32
"""So many files stay open: one that is replaced meanwhile can still be read."""


class Form(StrEnum):
    """How inputs stand in a file."""

    JSONL = "jsonl"
    LINES = "lines"
    CSV = "csv"
    NULL = "null"


_BY_SUFFIX = {".jsonl": Form.JSONL, ".ndjson": Form.JSONL, ".csv": Form.CSV}


class Inputs:
    """The inputs of all files, in their order. Each `iter` begins with the first one.

    Args:
        paths: of the files; `-` is standard input. None at all is standard input, too.
        form: of all files. None: of each as its name says.
        most_bytes: an input may take so many bytes in its file.

    repeatable: each `iter` gives the same. Standard input and pipes can be read once.

    Raises InputError if one can't be read, or nobody knows its form.
    """

    def __init__(self, paths: Sequence[str], form: Form | None, most_bytes: int) -> None:
        self._files = [_File(path, form, most_bytes) for path in paths or (STDIN,)]
        self.repeatable = all(file.repeatable for file in self._files)
        for file in self._files[:_HELD]:
            file.hold()
        self._count: int | None = None

    def __iter__(self) -> Iterator[Any]:
        """Raises InputError for an input that is not of its form; it names the line.

        Also if the text of a file is no longer that of `digest`.
        """
        return chain.from_iterable(self._files)

    def __len__(self) -> int:
        """How many there are. Raises TypeError if nobody knows."""
        if self._count is None:
            raise TypeError("nobody knows how many inputs there are")
        return self._count

    @property
    def names(self) -> list[str]:
        """What tells these files and their forms from others."""
        return [f"{file.form}:{file.name}" for file in self._files]

    def digest(self) -> str:
        """A hash of what is in the files, which are read for it. They are counted, too."""
        digest = hashlib.blake2b(digest_size=16)
        counts = [file.digest(digest.update) for file in self._files]
        known = [one for one in counts if one is not None]
        self._count = sum(known) if len(known) == len(counts) else None
        return digest.hexdigest()


class _File:
    """One file of inputs."""

    def __init__(self, path: str, form: Form | None, most_bytes: int) -> None:
        self._is_stdin = path == STDIN
        self._path, self._most_bytes = Path(path), most_bytes
        self._shown = "standard input" if self._is_stdin else path
        self.name = STDIN if self._is_stdin else str(self._path.absolute())
        self.repeatable = not self._is_stdin and self._is_regular()
        if self._is_stdin and sys.stdin is not None and os.isatty(0):
            raise InputError("no inputs: name a file of them, or pipe them in")
        found = form or _BY_SUFFIX.get(self._path.suffix.lower())
        if found is None:
            raise InputError(
                f"nobody knows what {self._shown} has: say --jsonl, --lines, --csv or --null"
            )
        self.form = found
        self._held: int | None = None
        self._size = 0
        self._hashes: list[bytes] | None = None  # of its pieces, when they were counted

    def hold(self) -> None:
        """Keep it open until nobody has this object any more."""
        if self.repeatable and self._held is None:
            self._held = self._open()
            weakref.finalize(self, os.close, self._held)

    def _is_regular(self) -> bool:
        try:
            mode = self._path.stat().st_mode
        except OSError as error:
            raise self._unreadable(error) from error
        if stat.S_ISDIR(mode):
            raise InputError(f"{self._shown} is a folder: name files of inputs")
        return stat.S_ISREG(mode)

    def __iter__(self) -> Iterator[Any]:
        return _READERS[self.form](self, self._pieces())

    def digest(self, update: Callable[[bytes], None]) -> int | None:
        """Give its bytes to a hash. Returns how many inputs it has; None: nobody knows."""
        end = b"\0" if self.form is Form.NULL else b"\n"
        found, size, last = 0, 0, end
        hashes: list[bytes] = []
        for piece in self._pieces():
            update(piece)
            hashes.append(_hash(piece))
            size += len(piece)
            found += piece.count(end)
            last = piece[-1:]
        update(b"\0end of a file\0")
        self._size, self._hashes = size, hashes
        return None if self.form is Form.CSV else found + (last != end)

    # --- the forms ---

    def lines(self, pieces: Iterator[bytes]) -> Iterator[str]:
        """Texts. A line ends with \\n or \\r\\n."""
        for number, record in self._records(pieces, b"\n"):
            yield self._text(record.removesuffix(b"\r"), number)

    def null(self, pieces: Iterator[bytes]) -> Iterator[str]:
        """Texts that end with a zero byte, as `find -print0` writes them."""
        for number, record in self._records(pieces, b"\0"):
            yield self._text(record, number)

    def jsonl(self, pieces: Iterator[bytes]) -> Iterator[Any]:
        """A JSON value on each line."""
        for number, record in self._records(pieces, b"\n"):
            text = self._text(record, number)
            try:
                yield json.loads(text)
            except json.JSONDecodeError as error:
                why = f"{error.msg} (column {error.colno})" if text.strip() else "it is empty"
                raise self._wrong(number, f"is no JSON: {why}") from None
            except (ValueError, RecursionError) as error:  # too many digits, too deep
                raise self._wrong(number, f"is no JSON that can be read: {error}") from None

    def csv(self, pieces: Iterator[bytes]) -> Iterator[dict[str, str]]:
        """A dict of each row, with the first row's cells as keys."""
        csv.field_size_limit(self._most_bytes)
        records = self._records(pieces, b"\n")
        rows = csv.reader((f"{self._text(one, number)}\n" for number, one in records), strict=True)
        header: list[str] | None = None
        try:
            for row in rows:
                if header is None:
                    header = row
                    self._check_header(header)
                elif row:
                    self._check_row(row, header, rows.line_num)
                    yield dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise self._wrong(rows.line_num, f"is no CSV: {error}") from None

    def _check_header(self, header: list[str]) -> None:
        twice = [name for name in header if header.count(name) > 1]
        if twice:
            raise self._wrong(1, f"names two columns {twice[0]!r}")

    def _check_row(self, row: list[str], header: list[str], number: int) -> None:
        if len(row) != len(header):
            cells = f"has {len(row)} cell{'s' * (len(row) != 1)}, and line 1 has {len(header)}"
            raise self._wrong(number, cells)

    # --- bytes ---

    def _records(self, pieces: Iterator[bytes], end: bytes) -> Iterator[tuple[int, bytes]]:
        """What stands before each `end`, and behind the last one, with its number from 1."""
        number, rest = 0, b""
        for piece in pieces:
            *records, rest = (rest + piece).split(end)
            for number, record in enumerate(records, number + 1):  # noqa: B020 (it goes on)
                yield number, self._checked(record, number)
            self._checked(rest, number + 1)
        if rest:
            yield number + 1, rest

    def _checked(self, record: bytes, number: int) -> bytes:
        if len(record) > self._most_bytes:
            raise self._wrong(
                number,
                f"has more than {self._most_bytes:,} bytes: raise QUEUE_MAX_BYTES, or give the path"
                " of a file in its place",
            )
        return record

    def _text(self, record: bytes, number: int) -> str:
        if number == 1:
            record = record.removeprefix(b"\xef\xbb\xbf")  # some editors begin a file so
        try:
            return record.decode()
        except UnicodeDecodeError as error:
            raise self._wrong(number, f"is no UTF-8 (byte {error.start + 1})") from None

    def _pieces(self) -> Iterator[bytes]:
        """Its bytes, in the same pieces each time."""
        with self._opened() as file:
            for number in count():
                piece = self._read(file, number * _READ_BYTES)
                if self._hashes is not None:
                    piece = self._as_counted(piece, number, self._hashes)
                if not piece:
                    return
                yield piece

    def _as_counted(self, piece: bytes, number: int, hashes: list[bytes]) -> bytes:
        """The part of a piece that was there when they were counted. More may stand behind it."""
        if number == len(hashes):
            return b""
        piece = piece[: self._size - number * _READ_BYTES]
        if _hash(piece) != hashes[number]:
            raise InputError(
                f"{self._shown} has changed since this command began, so nobody can tell its"
                " inputs: put it back as it was, and give the same command again"
            )
        return piece

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        if self._is_stdin or self._held is not None:
            yield self._held or 0
            return
        file = self._open()
        try:
            yield file
        finally:
            os.close(file)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise self._unreadable(error) from error

    def _read(self, file: int, place: int) -> bytes:
        try:
            if self.repeatable:  # at its place: others read the same open file
                return os.pread(file, _READ_BYTES, place)
            return os.read(file, _READ_BYTES)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> InputError:
        return InputError(f"can't read {self._shown}: {error.strerror or error}")

    def _wrong(self, number: int, why: str) -> InputError:
        what = "input" if self.form is Form.NULL else "line"
        return InputError(f"{self._shown}: {what} {number:,} {why}")


def _hash(piece: bytes) -> bytes:
    return hashlib.blake2b(piece, digest_size=16).digest()


_READERS: dict[Form, Callable[[_File, Iterator[bytes]], Iterator[Any]]] = {
    Form.JSONL: _File.jsonl,
    Form.LINES: _File.lines,
    Form.CSV: _File.csv,
    Form.NULL: _File.null,
}
