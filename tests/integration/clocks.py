"""A machine whose wall clock can be set, for the processes of one test."""

from __future__ import annotations

from pathlib import Path

from tests.integration.processes import REPO

SITE = """
import os, time

_time, _file = time.time, os.environ["CLOCK_OFFSET_FILE"]

def jumped():
    try:
        with open(_file) as file:
            return _time() + float(file.read() or 0)
    except OSError:
        return _time()

time.time = jumped
"""


class WallClock:
    """`time.time()` of all processes that are started with `settings`; it can be set any time."""

    def __init__(self, folder: Path) -> None:
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(SITE)
        self._offset = folder / "offset"
        path = f"{site}:{REPO}"
        self.settings = {"PYTHONPATH": path, "CLOCK_OFFSET_FILE": str(self._offset)}

    def set_ahead(self, seconds: float) -> None:
        """It is so far ahead of the machine's own, or behind it, from now on."""
        new = self._offset.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._offset)
