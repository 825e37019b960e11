"""The folder of `out=`, which other users of the machine may write to as well, and files in it.

Each file is whole or as it was, also with several writers: the last one to end has its text there.
A link in its place is replaced, not followed.
"""

from __future__ import annotations

import contextlib
import glob
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PAGE = "index.html"
_HEAD_BYTES = 1000
_LEFT_S = 24 * 3600
"""A part to which nobody has written for so long is of a run that was killed."""


def made(out: str, page_of: str) -> str:
    """The absolute path of a folder, which is there from now on.

    Args:
        out: the folder.
        page_of: the job whose page may be replaced. Any other page in the folder is refused.

    Raises:
        ValueError: it can't be made or written to. One line, for whoever typed `out=`.
    """
    folder = os.path.abspath(out)
    try:
        os.makedirs(folder, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(0, f"the uid {os.geteuid()} may not write there")
        head = _head(Path(folder) / PAGE)
    except OSError as error:
        raise ValueError(f"out={out!r} can't be written to: {error.strerror}") from None
    if head and mark(page_of).encode() not in head:
        raise ValueError(
            f"out={out!r} has an {PAGE} that {page_of} did not make: name another folder"
        )
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
    with replacing(path) as file:
        file.write(text)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """A file of UTF-8 to write to, which takes the place of `path` at the end.

    Raises:
        OSError: it can't be written.
    """
    _remove_left_parts(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    created = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        with open(created, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _remove_left_parts(path: Path) -> None:
    for part in path.parent.glob(f".{glob.escape(path.name)}.*part"):
        # Another run may remove it first.
        with contextlib.suppress(OSError):
            if time.time() - part.lstat().st_mtime > _LEFT_S:
                part.unlink()
