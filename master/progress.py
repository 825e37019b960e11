"""A progress bar on a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """Shows how many of the tasks known so far have ended. label: in front of the bar."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=0, desc=self._label, unit=" tasks", unit_scale=True, leave=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, ended: int, tasks: int) -> None:
        """How far it is."""
        if self._bar is not None:
            self._bar.total = tasks
            self._bar.update(ended - self._bar.n)
