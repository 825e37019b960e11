"""Packed files as streams of bytes: gzip, bzip2, xz, zstd, and zstd with a table of its frames."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BEGINNINGS = {"gzip": GZIP, "bzip2": b"BZh", "xz": b"\xfd7zXZ\0", "zip": b"PK\x03\x04"}
HEAD_BYTES = 6
"""What a file is packed by is told by so many."""

_SKIPPABLE = 0x184D2A50
_TABLE_MAGIC = 0x8F92EAB1
_FOOTER = struct.Struct("<IBI")
_READ_BYTES = 128 << 10
_FED_BYTES = 4 << 10
"""At once, for a block of 128 KiB may be packed in 4 bytes: 128 MiB at most."""

_PADDING_BYTES = 4
_DICTIONARY_BYTES = 256 << 20
"""The most memory that an xz file may ask for; the strongest level asks for a quarter of it."""

Read = Callable[[int], bytes]


class PackedError(ValueError):
    """A packed file that is broken, or packed in a way that is not known. One line."""


class CutOffError(PackedError):
    """A packed file without its end, as it is while it is written. One line."""


def packed_by(head: bytes) -> str:
    """What a file that begins so is packed by: the name of a program, or empty."""
    for name, beginning in _BEGINNINGS.items():
        if head.startswith(beginning):
            return name
    magic = int.from_bytes(head[:4], "little")
    is_zstd = head[:4] == ZSTD or (len(head) >= 4 and magic & 0xFFFFFFF0 == _SKIPPABLE)
    return "zstd" if is_zstd else ""


def reader(file: BinaryIO, name: str) -> Read:
    """What a file that is packed by a known program has, from where the file stands."""
    return gzip_reader(file) if name == "gzip" else _Frames(file, name).read


def check_known(name: str, path: Path) -> None:
    """Raise PackedError if files that are packed by this program can't be read."""
    if name != "gzip" and name not in _FRAMES:
        known = ", ".join(["gzip", *_FRAMES])
        raise PackedError(f"{path} is packed by {name}, not by one of {known}: unpack it")


def gzip_reader(file: BinaryIO) -> Read:
    """What a gzip file of any number of members has, from its beginning."""
    unpacked = gzip.GzipFile(fileobj=file, mode="rb")

    def read(most: int) -> bytes:
        try:
            return unpacked.read(most)
        except EOFError:
            raise CutOffError("the gzip file is cut off") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise PackedError(f"the gzip file is broken: {error}") from None

    return read


_FRAMES: dict[str, Callable[[], Any]] = {
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=_DICTIONARY_BYTES),
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
}


class _Frames:
    """Frames (streams of bzip2 and xz) one behind another, up to the end of a file.

    The libraries' own readers do not tell a file that is cut off, or that has something else behind
    it, from a whole one.
    """

    def __init__(self, file: BinaryIO, name: str = "zstd") -> None:
        self._file, self._name = file, name
        self._packed = memoryview(b"")
        self._frame: Any = None
        self._ready = memoryview(b"")

    def read(self, most: int) -> bytes:
        """At most so many bytes; none at the end. Raises PackedError."""
        parts, size = [], 0
        while size < most and (self._ready or self._more()):
            part = self._ready[: most - size]
            self._ready = self._ready[len(part) :]
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    def _more(self) -> bool:
        """Unpack the next bytes, which may be none. False at the end."""
        packed = self._packed or memoryview(self._file.read(_READ_BYTES))
        if self._frame is None and not any(packed[:_PADDING_BYTES]):
            self._packed = packed[_PADDING_BYTES:]  # as tapes and xz have it between frames
            return bool(packed)
        if not packed:
            if self._frame is not None:
                raise CutOffError(f"the {self._name} file is cut off")
            return False
        if self._frame is None:
            self._frame = _FRAMES[self._name]()
        try:
            self._ready = memoryview(self._frame.decompress(packed[:_FED_BYTES]))
        except (zstandard.ZstdError, lzma.LZMAError, OSError) as error:
            raise PackedError(f"the {self._name} file is broken: {error}") from None
        unused = 0
        if self._frame.eof:
            unused, self._frame = len(self._frame.unused_data), None
        self._packed = packed[min(_FED_BYTES, len(packed)) - unused :]
        return True


def frames_of(file: BinaryIO, size: int) -> list[tuple[int, int]]:
    """The frames of a seekable zstd file: where each begins, (packed, unpacked), and the end.

    Empty if the file has no table of frames. The format is that of `contrib/seekable_format` of
    zstd.
    """
    if size < _FOOTER.size:
        return []
    file.seek(size - _FOOTER.size)
    count, flags, magic = _FOOTER.unpack(file.read(_FOOTER.size))
    width = 12 if flags & 0x80 else 8
    begin = size - _FOOTER.size - count * width
    if magic != _TABLE_MAGIC or begin < 8:
        return []
    file.seek(begin)
    table = file.read(count * width)
    starts = [(0, 0)]
    for place in range(0, len(table), width):
        packed, unpacked = struct.unpack_from("<II", table, place)
        starts.append((starts[-1][0] + packed, starts[-1][1] + unpacked))
    return starts if starts[-1][0] == begin - 8 else []


def frame_reader(file: BinaryIO, size: int, start: int) -> Read:
    """What a seekable zstd file has from `start` on, in unpacked bytes."""
    packed, unpacked = max(place for place in frames_of(file, size) if place[1] <= start)
    file.seek(packed)
    stream = _Frames(file)
    left = start - unpacked
    while left and (passed := stream.read(min(left, _READ_BYTES))):
        left -= len(passed)
    return stream.read
