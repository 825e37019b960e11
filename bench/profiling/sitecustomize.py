"""Profiles every measured process: `BENCH_PROFILE=DIR python -m bench ...`.

Python imports this module at start, because `processes` puts its folder on PYTHONPATH. Each thread
has a profile of its own. The process writes it when it exits, to DIR/NAME-PID-N.
"""

import atexit
import contextlib
import cProfile
import itertools
import os
import sys
import threading
from pathlib import Path

_folder = os.environ.get("BENCH_PROFILE")
_profiles: list[cProfile.Profile] = []


def _dump() -> None:
    name = "-".join(sys.orig_argv[2:4]).replace("/", "_")
    for number, profile in zip(itertools.count(), _profiles):
        with contextlib.suppress(Exception):
            profile.dump_stats(f"{_folder}/{name}-{os.getpid()}-{number}")


def _begin() -> None:
    profile = cProfile.Profile()
    _profiles.append(profile)
    profile.enable()


if _folder:
    Path(_folder).mkdir(parents=True, exist_ok=True)
    _run, _exit = threading.Thread.run, os._exit

    def _profiled_run(self: threading.Thread) -> None:
        _begin()
        _run(self)

    def _dump_and_exit(code: int) -> None:
        _dump()
        _exit(code)

    threading.Thread.run = _profiled_run  # type: ignore[method-assign]
    os._exit = _dump_and_exit  # type: ignore[assignment]
    atexit.register(_dump)
    _begin()
