"""One copy of a store while its master runs: into a file that is checked, or as a stream."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from queue_manager.errors import OutputError, ReaderGoneError

from .checking import Checked, check_file
from .copied import private
from .source import Source

_SYNC_BYTES = 8 * 1024 * 1024
"""How much is written before it is synced: a master's commits wait behind all that is not."""


@dataclass(frozen=True)
class Copied:
    """A copy. at: it is the store as of this time (UTC epoch, s). checked: None: nobody could."""

    at: float
    size_bytes: int
    checked: Checked | None = None


def copy_to_file(
    folder: Path, path: Path, show: Callable[[int, int], None] = lambda done, size: None
) -> Copied:
    """Copy the store in a folder into a file, in the place of one that is there.

    show: is told how many bytes are there, and how many there will be. An incomplete file has
    another name, and goes.

    Raises:
        StoreError: there is no store, or the copy is damaged.
        OutputError: the file can't be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            with open(part, "wb", opener=private) as output:
                copied = _copy(folder, output, show)
                output.flush()
                os.fsync(output.fileno())
            checked = check_file(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error
    return Copied(copied.at, copied.size_bytes, checked)


def copy_to_stream(folder: Path, output: BinaryIO) -> Copied:
    """Write the store in a folder to a pipe. Whoever reads it checks it.

    Raises:
        StoreError: there is no store.
        OutputError: the pipe can't be written.
    """
    try:
        copied = _copy(folder, output, lambda done, size: None)
        output.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError("nobody reads the backup any more") from error
    except OSError as error:
        raise OutputError(f"can't write the backup: {error.strerror or error}") from error
    return copied


def _copy(folder: Path, output: BinaryIO, show: Callable[[int, int], None]) -> Copied:
    unsynced = 0
    with contextlib.closing(Source(folder)) as source, source.held():
        at = time.time()
        batch = source.whole()
        for offset, data in source.read(batch):
            output.write(data)
            show(offset + len(data), batch.size_bytes)
            unsynced += len(data)
            if unsynced >= _SYNC_BYTES:
                unsynced = 0
                with contextlib.suppress(OSError):  # a pipe
                    output.flush()
                    os.fdatasync(output.fileno())
    return Copied(at, batch.size_bytes)
