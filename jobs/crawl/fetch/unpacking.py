"""Bodies that are packed (`Content-Encoding`), unpacked in pieces of bounded size.

The module takes what browsers take: any case, `x-gzip`, deflate with and without its zlib head,
several codings on top of each other, a body that says it is packed and is not, bytes after the end.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli

ACCEPTED = "gzip, deflate, br"
PIECE_BYTES = 256 * 1024
MOST_CODINGS = 3
_GZIP = b"\x1f\x8b"
_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "br": "br"}
_UNKNOWN = {"compress", "x-compress", "zstd", "dcb", "dcz"}


class UnpackingError(Exception):
    """A body can't be unpacked."""


class Layer(Protocol):
    """One coding. whole: the end of what is packed has come."""

    whole: bool

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yields what the next bytes are, unpacked, in pieces. Raises UnpackingError."""


def layers_of(content_encoding: str) -> list[Layer]:
    """What unpacks a body, layer by layer from the outermost one. No layers if it is not packed.

    Raises:
        UnpackingError: the body is packed in a way that was not asked for.
    """
    if not content_encoding:
        return []
    names = [name.strip().lower() for name in content_encoding.split(",")]
    for name in names:
        if name in _UNKNOWN:
            raise UnpackingError(f"packed by {name}, which was not asked for")
    known = [_NAMES[name] for name in reversed(names) if name in _NAMES]
    if len(known) > MOST_CODINGS:
        raise UnpackingError(f"packed {len(known)} times")
    return [_Brotli() if name == "br" else _Zlib(name) for name in known]


def through(layers: list[Layer], packed: bytes) -> Iterator[bytes]:
    """Yields what the next bytes of a body are, unpacked by all layers."""
    if not layers:
        yield packed
        return
    for piece in layers[0].feed(packed):
        yield from through(layers[1:], piece)


class _Zlib:
    """gzip and deflate. A body that does not begin as such passes unchanged."""

    def __init__(self, name: str) -> None:
        self.whole = False
        self._name = name
        self._head = b""
        self._as_it_is = False
        self._unpack: zlib._Decompress | None = None

    def feed(self, packed: bytes) -> Iterator[bytes]:
        if self._as_it_is:
            yield packed
            return
        while packed and not (self.whole and self._name != "gzip"):
            if self._unpack is None:
                packed = self._head = self._head + packed
                if len(packed) < 2:
                    return
                if self._name == "gzip" and not packed.startswith(_GZIP):
                    # Bytes after the end are dropped. Several parts are one (RFC 1952, 2.2).
                    if not self.whole:
                        self._as_it_is = self.whole = True
                        yield packed
                    return
                self._begin(packed)
            assert self._unpack is not None  # it has begun
            try:
                piece = self._unpack.decompress(packed, PIECE_BYTES)
            except zlib.error as error:
                raise UnpackingError(f"its {self._name} is damaged: {error}") from None
            if piece:
                yield piece
            packed = self._unpack.unconsumed_tail
            if self._unpack.eof:
                self.whole = True
                packed, self._unpack = self._unpack.unused_data, None

    def _begin(self, head: bytes) -> None:
        bits = 16 + zlib.MAX_WBITS
        if self._name == "deflate":
            # RFC 1950, 2.2, says how the head looks. Some servers send deflate without it.
            headed = head[0] & 0x0F == 8 and (head[0] << 8 | head[1]) % 31 == 0
            bits = zlib.MAX_WBITS if headed else -zlib.MAX_WBITS
        self.whole, self._head = False, b""
        self._unpack = zlib.decompressobj(bits)


class _Brotli:
    def __init__(self) -> None:
        self.whole = False
        self._unpack = brotli.Decompressor()

    def feed(self, packed: bytes) -> Iterator[bytes]:
        while not self.whole:
            try:
                piece = self._unpack.process(packed, output_buffer_limit=PIECE_BYTES)
            except brotli.error:
                raise UnpackingError("its brotli is damaged") from None
            if piece:
                yield piece
            self.whole = self._unpack.is_finished()
            packed = b""
            # It may have taken all of its input and still hold more than one piece.
            if not piece and self._unpack.can_accept_more_data():
                return
