"""Room for the open files of a worker: the pipes and memory of its slots, and its connection."""

from __future__ import annotations

import resource

from .errors import SettingsError

_OWN = 32
_OF_A_SLOT = 8
"""A slot takes six, and more for moments while it starts."""


def make_room(slots: int) -> None:
    """Raise this process's soft limit of open files, if a worker with so many slots needs that.

    Raises SettingsError if the hard limit is too low: each start of a slot would fail, for ever.
    """
    least = _OWN + _OF_A_SLOT * slots
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= least:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
    except (OSError, ValueError):
        fewer = ", or set WORKER_SLOTS lower" if hard >= _OWN + _OF_A_SLOT else ""
        raise SettingsError(
            f"a process may open {hard} files here, and a worker with {slots}"
            f" slot{'s' * (slots != 1)} needs {least}: raise that (ulimit -n {least}){fewer}"
        ) from None
