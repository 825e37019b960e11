"""Packed files as streams of bytes: gzip, zstd, and zstd with a table of its frames."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO

import zstandard

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_SKIPPABLE = 0x184D2A50
_TABLE_MAGIC = 0x8F92EAB1
_FOOTER = struct.Struct("<IBI")
_READ_BYTES = 128 << 10
_FED_BYTES = 4 << 10
"""At once, for a block of 128 KiB may be packed in 4 bytes: 128 MiB at most."""

Read = Callable[[int], bytes]


class PackedError(ValueError):
    """A packed file that is broken or cut off. One line."""


def is_zstd(head: bytes) -> bool:
    """Whether a file that begins so is packed by zstd."""
    magic = int.from_bytes(head[:4], "little")
    return head[:4] == ZSTD or (len(head) >= 4 and magic & 0xFFFFFFF0 == _SKIPPABLE)


def gzip_reader(file: BinaryIO) -> Read:
    """What a gzip file of any number of members has, from its beginning."""
    unpacked = gzip.GzipFile(fileobj=file, mode="rb")

    def read(most: int) -> bytes:
        try:
            return unpacked.read(most)
        except EOFError:
            raise PackedError("the gzip file is cut off") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise PackedError(f"the gzip file is broken: {error}") from None

    return read


def zstd_reader(file: BinaryIO) -> Read:
    """What the frames of a zstd file have, from where the file stands."""
    stream = _Frames(file)
    return stream.read


class _Frames:
    """zstandard's own reader does not tell a file that is cut off from a whole one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packed = memoryview(b"")
        self._frame: zstandard.ZstdDecompressionObj | None = None
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
        if not packed:
            if self._frame is not None:
                raise PackedError("the zstd file is cut off")
            return False
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(packed[:_FED_BYTES]))
        except zstandard.ZstdError as error:
            raise PackedError(f"the zstd file is broken: {error}") from None
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
