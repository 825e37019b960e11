"""A progress bar on a terminal, silence elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, ClassVar

from ...processes.relay import Relay

FRESH_S = 1.0


class Progress:
    """Shows how many of the tasks known so far have ended. label: in front of the bar."""

    shown: ClassVar[set[Progress]] = set()

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None
        self._dead = 0

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=0, desc=self._label, unit=" tasks", unit_scale=True, leave=False)
            self.shown.add(self)
            Relay.aside = partial(tqdm.external_write_mode, file=sys.stderr)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self.shown.discard(self)
            if not self.shown:
                Relay.aside = None
            self._bar.close()

    def show(self, ended: int, tasks: int, dead: int = 0) -> None:
        """Show how far the run is. dead: how many of the ended tasks are dead letters."""
        if self._bar is None:
            return
        self._bar.total = tasks
        if dead != self._dead:
            self._dead = dead
            self._bar.set_postfix_str(f"{dead:,} dead" if dead else "")
        self._bar.update(ended - self._bar.n)

    async def keep_fresh(self) -> None:
        """Keep the time of the bar going while no task ends."""
        while self._bar is not None:
            await asyncio.sleep(FRESH_S)
            self._bar.refresh()


@contextlib.asynccontextmanager
async def progress_of(label: str) -> AsyncIterator[Progress]:
    """A progress bar whose time keeps going."""
    with Progress(label) as progress:
        fresh = asyncio.create_task(progress.keep_fresh())
        try:
            yield progress
        finally:
            fresh.cancel()


@contextlib.contextmanager
def progress_in_bytes(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar of bytes. Gives what is told how many there are, and how many in all."""
    if not sys.stderr.isatty():
        yield lambda done, size: None
        return
    from tqdm import tqdm

    with tqdm(
        total=0, desc=label, unit="B", unit_scale=True, unit_divisor=1024, leave=False
    ) as bar:

        def show(done: int, size: int) -> None:
            bar.total = size
            bar.update(done - bar.n)

        yield show
