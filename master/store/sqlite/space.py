"""How much room the file takes, and how free space of it goes back to the disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from ...reads import StoreSize
from .schema.rows import one


def size(path: Path) -> StoreSize:
    """As `Store.size`. A file that is not there has no bytes."""
    main, wal = (_bytes(path.with_name(path.name + end)) for end in ("", "-wal"))
    return StoreSize(main, wal, shutil.disk_usage(path.parent).free)


def _bytes(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def shrink(db: sqlite3.Connection, pages: int) -> bool:
    """Give about so many free pages back. The file gets shorter with the last of them."""
    free = one(db, "PRAGMA freelist_count")
    if not free:
        return False
    # It runs as a script: the statement has a step for each page, and `execute` takes one step.
    db.executescript(f"PRAGMA incremental_vacuum({max(1, pages)});")
    if not one(db, "PRAGMA freelist_count"):
        # This makes the file shorter. TRUNCATE would wait for whoever copies the store, and would
        # take from a follower what it has not read yet.
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return True
