"""Small copies of large pictures (Pillow), made where a picture is stored, in a worker's slot.

The contact sheet names the thumbnails that are there, so its writer decodes no stranger's picture
and need not import what does.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from ..look.kinds import most_pixels
from .files import Store

EDGE = 240
"""Width and height of a thumbnail, in pixels, at most."""

LARGE_BYTES = 512 * 1024
LARGE_PIXELS = 1_000_000
"""A larger picture has a thumbnail. A browser shows hundreds of smaller ones on one sheet without
delay, since it reads each from a disk, and only what is in view; to make a thumbnail takes a slot
ten times as long as to fetch and store the picture."""

FOLDER = "thumbs"


def is_wanted(kind: str, size_bytes: int, width: int | None, height: int | None) -> bool:
    """Whether a picture of that type has a thumbnail. A small picture is shown as it is."""
    pixels = (width or 0) * (height or 0)
    large = size_bytes > LARGE_BYTES or pixels > LARGE_PIXELS
    return kind != "svg" and large and pixels <= most_pixels(kind)


def name_of(file: str) -> str:
    """The name of a file's thumbnail. Both names are within the folder."""
    return f"{FOLDER}/{file.rpartition('.')[0]}.webp"


def make(store: Store, file: str) -> bool:
    """Make the thumbnail of a stored file, unless it is there. Returns whether there is one.

    A picture that can't be decoded has none, which is no failure.
    """
    from PIL import Image

    place = store.folder / name_of(file)
    if place.is_file():
        return True
    unfinished = store.part()
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(store.folder / file, formats=_formats(store.folder / file)) as image,
        ):
            image.draft("RGB", (EDGE * 2, EDGE * 2))
            image.thumbnail((EDGE, EDGE))
            has_alpha = "A" in image.getbands() or "transparency" in image.info
            small = image.convert("RGBA" if has_alpha else "RGB")
            small.save(unfinished, "WEBP", quality=75, method=2)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(unfinished, place)
    except Exception:  # damaged, a bomb, a full disk: Pillow's decoders raise what they like
        unfinished.unlink(missing_ok=True)
        return False
    return True


def _formats(path: Path) -> tuple[str, ...]:
    from ..look.pictures import formats_of

    with path.open("rb") as file:
        return formats_of(file.read(16))
