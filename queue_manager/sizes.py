"""Sizes as people read them."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_text(count: float) -> str:
    """Bytes, such as `512 B`, `3.4 MiB`."""
    place = 0
    while abs(count) >= 1024 and place < len(_UNITS) - 1:
        count, place = count / 1024, place + 1
    return f"{count:.1f} {_UNITS[place]}" if place else f"{count:.0f} B"
