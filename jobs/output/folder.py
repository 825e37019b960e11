"""The folder of `out=`, which other users of the machine may write to as well, and files in it.

Each file is whole or as it was. A link in its place is replaced, not followed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PAGE = "index.html"
_HEAD_BYTES = 1000


def made(out: str, page_of: str = "") -> str:
    """The absolute path of a folder, which is there from now on.

    Args:
        out: the folder.
        page_of: the job whose page may be replaced. Any other page in the folder is refused; empty:
            none is.

    Raises:
        ValueError: it can't be made or written to. One line, for whoever typed `out=`.
    """
    folder = os.path.abspath(out)
    try:
        os.makedirs(folder, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(0, f"the uid {os.geteuid()} may not write there")
        head = _head(Path(folder) / PAGE) if page_of else b""
    except OSError as error:
        raise ValueError(f"out={out!r} can't be written to: {error.strerror}") from None
    if head and mark(page_of).encode() not in head:
        raise ValueError(f"out={out!r} has an {PAGE} that is no report: name another folder")
    return folder


def mark(job: str) -> str:
    """What the pages of a job have in their first 1,000 bytes. The layout writes it."""
    return f'<meta name="generator" content="quartermaster {job}">'


def _head(page: Path) -> bytes:
    """The beginning of a page; empty if it is none, or a link, which is replaced."""
    try:
        descriptor = os.open(page, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with open(descriptor, "rb") as file, contextlib.suppress(OSError):
        return file.read(_HEAD_BYTES) or b""
    return b""


def put(path: Path, text: str) -> None:
    """Write a file of UTF-8. Whoever opens it meanwhile has the old one, or none.

    Raises:
        OSError: it can't be written.
    """
    unfinished = path.with_name(f".{path.name}.part")
    # One that a killed run has left, or a link to a file that somebody wants to be lost.
    unfinished.unlink(missing_ok=True)
    created = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        with open(created, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
