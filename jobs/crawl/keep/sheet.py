"""The contact sheet: the pictures of an index on pages of HTML, because people would rather look.

The sheet shows large pictures by their thumbnails, where workers have left some here, and others as
they are, when the browser comes to them. So it also works where the files are gathered later. This
module opens no picture.
"""

from __future__ import annotations

import os
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2

from . import thumbnails
from .files import Store
from .indexing import COLUMNS, count_files, files_of, opened
from .totals import size

A_PAGE = 1000


def write_sheet(folder: str) -> Path:
    """Make index.html, index-2.html and so on; returns the first one.

    Raises:
        FileNotFoundError: there is no index.
    """
    out = Path(folder)
    store = Store(out)
    template = _environment().get_template("sheet.html")
    with closing(opened(out)) as db:
        total = count_files(db)
        names = [_name(number) for number in range(max(1, -(-total // A_PAGE)))]
        rows = (dict(zip(COLUMNS, row, strict=True)) for row in files_of(db))
        for number, name in enumerate(names):
            shown = [
                {**row, "shown": _shown(out, row), "size": size(row["bytes"])}
                for row in islice(rows, A_PAGE)
            ]
            text = template.render(pictures=shown, names=names, number=number, total=total)
            unfinished = store.part()
            unfinished.write_text(text, "utf-8")
            os.replace(unfinished, out / name)
    _remove_from(out, len(names))
    return out / names[0]


def _shown(out: Path, row: dict[str, Any]) -> str:
    """The name of the file to show for a picture: its thumbnail or the picture."""
    file: str = row["file"]
    if not thumbnails.is_wanted(row["type"], row["bytes"], row["width"], row["height"]):
        return file
    small = thumbnails.name_of(file)
    return small if (out / small).is_file() else file


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _name(number: int) -> str:
    return "index.html" if number == 0 else f"index-{number + 1}.html"


def _remove_from(out: Path, number: int) -> None:
    """Remove the pages of an earlier, longer sheet."""
    while (path := out / _name(number)).is_file():
        path.unlink()
        number += 1
