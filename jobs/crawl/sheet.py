"""The contact sheet: the pictures of an index on pages of HTML, because people would rather look.

Thumbnails (Pillow) are made of large pictures whose files are here; others are shown as they are,
when the browser comes to them, so the sheet works also where their files are gathered later.
"""

from __future__ import annotations

import os
import warnings
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from .files import Store
from .indexing import COLUMNS, count_files, files_of, opened
from .pictures import MOST_PIXELS
from .totals import size

A_PAGE = 1000
EDGE = 240
LARGE_BYTES = 48 * 1024
MOST_THUMBNAILS = 20_000
"""One takes some hundredths of a second."""

THUMBNAILS = "thumbs"


def write_sheet(folder: str) -> Path:
    """Make index.html, index-2.html and so on; returns the first one.

    Raises:
        FileNotFoundError: there is no index.
    """
    out = Path(folder)
    store = Store(out)
    thumbnails = Thumbnails(store)
    template = _environment().get_template("sheet.html")
    with closing(opened(out)) as db:
        total = count_files(db)
        names = [_name(number) for number in range(max(1, -(-total // A_PAGE)))]
        rows = (dict(zip(COLUMNS, row, strict=True)) for row in files_of(db))
        for number, name in enumerate(names):
            shown = [
                {**row, "shown": thumbnails.of(row), "size": size(row["bytes"])}
                for row in islice(rows, A_PAGE)
            ]
            text = template.render(pictures=shown, names=names, number=number, total=total)
            unfinished = store.part()
            unfinished.write_text(text, "utf-8")
            os.replace(unfinished, out / name)
    _remove_from(out, len(names))
    return out / names[0]


class Thumbnails:
    """Small copies of large pictures, made once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left = MOST_THUMBNAILS

    def of(self, row: dict[str, Any]) -> str:
        """The name of what is to be shown for a picture: its thumbnail, or itself."""
        name: str = row["file"]
        large = row["bytes"] > LARGE_BYTES or max(row["width"] or 0, row["height"] or 0) > 4 * EDGE
        pixels = (row["width"] or 0) * (row["height"] or 0)
        if row["type"] == "svg" or not large or pixels > MOST_PIXELS:
            return name
        place = f"{THUMBNAILS}/{name.rpartition('.')[0]}.webp"
        if (self._store.folder / place).is_file():
            return place
        if self._left <= 0 or not self._made(name, self._store.folder / place):
            return name
        self._left -= 1
        return place

    def _made(self, name: str, place: Path) -> bool:
        unfinished = self._store.part()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(self._store.folder / name) as image:
                    image.draft("RGB", (EDGE * 2, EDGE * 2))
                    image.thumbnail((EDGE, EDGE))
                    kind = (
                        "RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB"
                    )
                    image.convert(kind).save(unfinished, "WEBP", quality=75, method=2)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(unfinished, place)
        except Exception:  # not here, damaged or a bomb: Pillow's decoders raise what they like
            unfinished.unlink(missing_ok=True)
            return False
        return True


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _name(number: int) -> str:
    return "index.html" if number == 0 else f"index-{number + 1}.html"


def _remove_from(out: Path, number: int) -> None:
    """Pages of an earlier, longer sheet."""
    while (path := out / _name(number)).is_file():
        path.unlink()
        number += 1
