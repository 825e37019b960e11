"""The contact sheet: the pictures of an index on pages of HTML, because people would rather look.

The sheet shows large pictures by their thumbnails, where workers have left some here, and others as
they are, when the browser comes to them. So it also works where the files are gathered later. This
module opens no picture.
"""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ...output.folder import put
from ...output.pages import page
from ...output.words import printable
from . import thumbnails
from .indexing import COLUMNS, files_of, opened, sites, sums

A_PAGE = 1000
_TEMPLATE = Path(__file__).with_name("sheet.html")


def write_sheet(folder: str) -> Path:
    """Make index.html, index-2.html and so on; returns the first one.

    Raises:
        FileNotFoundError: there is no index.
    """
    out = Path(folder)
    with closing(opened(out)) as db:
        total, size_bytes = sums(db)
        names = [_name(number) for number in range(max(1, -(-total // A_PAGE)))]
        whole = {"names": names, "total": total, "bytes": size_bytes, "site": _site(sites(db))}
        rows = (dict(zip(COLUMNS, row, strict=True)) for row in files_of(db))
        for number, name in enumerate(names):
            pictures = [_picture(out, row) for row in islice(rows, A_PAGE)]
            at = {"number": number, "shown_pages": _near(number, len(names))}
            put(out / name, page(_TEMPLATE, {**whole, **at, "pictures": pictures}))
    _remove_from(out, len(names))
    return out / names[0]


def _site(hosts: list[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= 3 else f"{len(hosts):,} sites"


def _picture(out: Path, row: dict[str, Any]) -> dict[str, Any]:
    """What the sheet shows of a row of the index."""
    path = urlsplit(row["address"]).path
    name = path.rstrip("/").rpartition("/")[2] or path or row["address"]
    found = urlsplit(row["page"])
    texts = {"name": name, "page_name": found.path + (f"?{found.query}" if found.query else "")}
    return (
        row
        | {key: printable(unquote(text)) for key, text in texts.items()}
        | {"shown": _shown(out, row)}
    )


def _near(number: int, count: int) -> list[int | None]:
    """The pages that a page links to: first, last, and those near it. None is a gap."""
    wanted = sorted({0, count - 1, *range(max(0, number - 3), min(count, number + 4))})
    near: list[int | None] = []
    for before, page_number in zip([-1, *wanted], wanted, strict=False):
        near += [None] * (page_number > before + 1) + [page_number]
    return near


def _shown(out: Path, row: dict[str, Any]) -> str:
    """The name of the file to show for a picture: its thumbnail or the picture."""
    file: str = row["file"]
    if not thumbnails.is_wanted(row["type"], row["bytes"], row["width"], row["height"]):
        return file
    small = thumbnails.name_of(file)
    return small if (out / small).is_file() else file


def _name(number: int) -> str:
    return "index.html" if number == 0 else f"index-{number + 1}.html"


def _remove_from(out: Path, number: int) -> None:
    """Remove the pages of an earlier, longer sheet."""
    while (path := out / _name(number)).is_file():
        path.unlink()
        number += 1
