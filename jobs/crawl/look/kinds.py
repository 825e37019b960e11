"""The types of pictures that the crawler knows, and how large they may be to be decoded.

Opens no picture, so a runner need not import what does.
"""

from __future__ import annotations

ENDINGS = {
    "AVIF": "avif",
    "BMP": "bmp",
    "GIF": "gif",
    "ICO": "ico",
    "JPEG": "jpg",
    "JPEG2000": "jp2",
    "MPO": "jpg",
    "PNG": "png",
    "TIFF": "tiff",
    "WEBP": "webp",
}
"""The endings of their files by Pillow's names of raster formats."""

TYPES = tuple(sorted({*ENDINGS.values(), "svg"}))
"""The types that are known, by the endings of their files."""

MOST_PIXELS = 25_000_000
"""Larger pictures are stored, but not decoded: a small file may hold very many pixels."""

_TAKES_MORE = {"avif": 2, "jp2": 4, "webp": 2}
"""Their decoders take 12 to 24 bytes for each pixel, where others take 4 to 8."""


def most_pixels(kind: str) -> int:
    """The most pixels with which a picture of that type (`Picture.type`) is decoded."""
    return MOST_PIXELS // _TAKES_MORE.get(kind, 1)
