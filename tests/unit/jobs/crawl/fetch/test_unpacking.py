"""Packed bodies, as sites send them."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest

from jobs.crawl.fetch.unpacking import PIECE_BYTES, UnpackingError, layers_of, through

DATA = bytes(range(256)) * 3000
_RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
RAW = _RAW.compress(DATA) + _RAW.flush()


@pytest.mark.parametrize("step", [1, 7, 10**9])
@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("X-GZIP", gzip.compress(DATA)),
        ("gzip", gzip.compress(DATA[:5]) + gzip.compress(DATA[5:])),
        ("gzip", gzip.compress(DATA) + b"bytes behind"),
        ("gzip", DATA),
        ("deflate", zlib.compress(DATA)),
        ("deflate", RAW),
        ("br", brotli.compress(DATA)),
        ("deflate, gzip", gzip.compress(RAW)),
        ("identity", DATA),
        ("utf-8", DATA),
    ],
)
def test_a_body_is_unpacked_as_browsers_do(coding: str, packed: bytes, step: int) -> None:
    layers = layers_of(coding)
    pieces = [packed[at : at + step] for at in range(0, len(packed), step)]
    assert b"".join(out for piece in pieces for out in through(layers, piece)) == DATA
    assert all(layer.whole for layer in layers)


def test_a_body_that_ends_early_is_not_whole() -> None:
    (layer,) = layers_of("gzip")
    assert b"".join(layer.feed(gzip.compress(DATA)[:-9])) != b""
    assert not layer.whole


def test_a_bomb_comes_out_in_pieces() -> None:
    bomb = gzip.compress(b"\0" * 100_000_000)
    sizes = [len(piece) for piece in through(layers_of("gzip"), bomb)]
    assert (sum(sizes), max(sizes)) == (100_000_000, PIECE_BYTES)


@pytest.mark.parametrize("coding", ["zstd", "compress", "gzip, gzip, gzip, gzip"])
def test_what_was_not_asked_for_is_refused(coding: str) -> None:
    with pytest.raises(UnpackingError, match=r"^packed "):
        layers_of(coding)
