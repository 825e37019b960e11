"""The bar of a map, on a terminal or in a notebook. Without either it shows nothing."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_SHOW_S = 0.1
_EXACT = 10_000
"""Up to so many tasks the bar shows their number as it is, above that as 12.3k."""


class Bar:
    """How far a map is. tqdm shows the rate and the time that is left."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._due = 0.0

    def show(self, given: int, fed: int, failed: int) -> None:
        """Show how many results were given out, of how many inputs so far, and how many failed."""
        now = time.monotonic()
        if now < self._due and given < fed:
            return
        self._due = now + _SHOW_S
        if failed:
            self._bar.set_postfix_str(f"{failed:,} failed", refresh=False)
        self._bar.unit_scale = max(given, self._bar.total or 0) > _EXACT
        self._bar.update(given - self._bar.n)


@contextlib.contextmanager
def bar_of(function: Callable[..., Any] | str, total: int | None) -> Iterator[Bar | None]:
    """A bar for a map. total: how many inputs there are; None: nobody knows.

    None: there is neither a terminal nor a notebook.
    """
    in_notebook = "ipykernel" in sys.modules
    if not (in_notebook or sys.stderr.isatty()):
        yield None
        return
    tqdm: Any = importlib.import_module("tqdm.auto" if in_notebook else "tqdm").tqdm
    name = function if isinstance(function, str) else getattr(function, "__name__", "map")
    scaled = (total or 0) > _EXACT
    with tqdm(total=total, desc=name, unit=" tasks", unit_scale=scaled) as shown:
        yield Bar(shown)
