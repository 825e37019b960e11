"""Puts on the disk what was written, so that a power cut leaves nothing half of it.

An environment has thousands of files, and uv syncs none of them.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


def folder(path: Path) -> None:
    """Put the names in a folder on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_system_of(path: Path) -> None:
    """Put all on the disk that was written to the file system of a folder (syncfs(2)).

    Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)  # Python has no syncfs
    if not hasattr(libc, "syncfs"):  # macOS
        os.sync()
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if libc.syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(descriptor)
