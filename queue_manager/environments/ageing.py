"""Removes environments that nothing has used for a while, and then the cache of uv.

An environment whose lock somebody has is in use, however old it is.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from pathlib import Path

from . import layout, locks, sync
from .layout import Place

log = logging.getLogger("quartermaster.environments")

LEAST_S = 3600.0
"""An environment stays at least this long: a process may be about to start in it."""


def remove_unused(root: Path, keep_s: float) -> int:
    """Remove what was not used for `keep_s` seconds. Returns how many environments that were.

    Raises OSError if the folder can't be read.
    """
    if not root.is_dir():
        return 0
    limit_s = max(keep_s, LEAST_S)
    removed = sum(_remove(place, limit_s) for place in layout.places(root))
    cache = layout.cache(root)
    if cache.is_dir() and not any(layout.places(root)):
        shutil.rmtree(cache, ignore_errors=True)
    return removed


def _remove(place: Place, limit_s: float) -> bool:
    if not _is_old(place, limit_s):
        return False
    with contextlib.suppress(OSError), locks.held(place.lock, wait=locks.never) as lock:
        if lock is None or not _is_old(place, limit_s):
            return False
        if place.folder.exists():
            place.made.unlink(missing_ok=True)  # from here on it is not whole,
            sync.folder(place.folder)  # whatever else a power cut leaves of it
            shutil.rmtree(place.folder)
        place.failure.unlink(missing_ok=True)
        place.lock.unlink()
        log.info("environment %s was not used: removed", place.folder.name)
        return True
    return False


def _is_old(place: Place, limit_s: float) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - place.lock.stat().st_mtime > limit_s
    return False
