"""The files of a report in their folder, which other users of the machine may write to as well.

Each file is whole or as it was. A link in its place is replaced, not followed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

PAGE = "index.html"
MARK = '<meta name="generator" content="quartermaster logs">'
"""What the page of a report has in its head."""

_HEAD_BYTES = 1000


def make_folder(out: str) -> None:
    """Make the folder of a report. Raises ValueError, one line."""
    try:
        os.makedirs(out, exist_ok=True)
        if not os.access(out, os.W_OK | os.X_OK):
            raise PermissionError(0, f"the uid {os.geteuid()} may not write there")
        head = _head(Path(out) / PAGE)
    except OSError as error:
        raise ValueError(f"out={out!r} can't be written to: {error.strerror}") from None
    if head and MARK.encode() not in head:
        raise ValueError(f"out={out!r} has an {PAGE} that is no report: name another folder")


def _head(page: Path) -> bytes:
    """The beginning of a page; empty if it is none, or a link, which is replaced."""
    try:
        descriptor = os.open(page, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with open(descriptor, "rb") as file, contextlib.suppress(OSError):
        return file.read(_HEAD_BYTES) or b""
    return b""


def put(folder: Path, files: Mapping[str, str]) -> None:
    """Write files by their names. Raises OSError."""
    for name, text in files.items():
        unfinished = folder / f".{name}.part"
        # One that a killed run has left, or a link to a file that somebody wants to be lost.
        unfinished.unlink(missing_ok=True)
        created = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with open(created, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(unfinished, folder / name)
