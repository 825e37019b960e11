"""What the system tells of this process: its memory, its processor time, its open files."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from queue_manager.wire.metrics import ProcessMetrics

_STATM = Path("/proc/self/statm")
_FDS = Path("/proc/self/fd")


def of_this_process(statm: Path = _STATM, fds: Path = _FDS) -> ProcessMetrics:
    """The figures of this process. What the system does not tell is None.

    Source: Linux, proc(5); the second number of `statm` is the resident set in pages.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ProcessMetrics(
        cpu_s=time.process_time(),
        rss_bytes=_rss(statm),
        fds=_open_files(fds),
        most_fds=None if most == resource.RLIM_INFINITY else most,
    )


def _rss(statm: Path) -> int | None:
    try:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _open_files(fds: Path) -> int | None:
    try:
        return len(os.listdir(fds)) - 1  # without that of the listing itself
    except OSError:
        return None
