"""A folder below HTTP_FILES, as far as a page can show it."""

from __future__ import annotations

from ..files.found import PAGE
from ..files.opened import NoFileError, listed, parts_of
from .page import Asked, NothingThereError, Page, View


async def load(asked: Asked) -> View:
    """The files and folders in it. Raises NothingThereError if there is no such folder.

    Raises SlowDiskError if the disk does not answer.
    """
    root = asked.desk.settings.http_files
    try:
        parts = parts_of(asked.words["folder"])
        found = await asked.desk.disk.recent(("listed", *parts), listed, root, parts)
    except NoFileError:
        raise NothingThereError("there is no such folder, or it is none to show") from None
    return {
        "parts": parts,
        "paths": ["/".join(parts[: place + 1]) for place in range(len(parts))],
        "page": any(one.name == PAGE and not one.folder for one in found.entries),
        "entries": [one._asdict() for one in found.entries],
        "more": found.more,
        "root": str(root),
    }


FOLDER = Page("/folders/{folder:path}", "folder", ("list",), load)
