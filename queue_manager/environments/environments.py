"""The environments of one host, for a process that needs one: found, or made first.

Everything here blocks, so a loop calls it in a thread. `close` ends what is being made.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import JobError, NoEnvironmentError
from ..job.needs import Needs
from . import ageing, failures, layout, locks, making
from .layout import Place
from .recipe import hash_of
from .uv import ENDS, Uv

SWEEP_S = 3600.0

DAY_S = 86_400.0


class Environments:
    """Finds, makes and removes environments.

    Args:
        root: the folder of environments (`Settings.queue_environments`); None: none are made.
        keep_days: an environment is removed after so many days without use.
        environ: the variables of uv.
        shows: a task of this process can show the evidence of a failure.
    """

    def __init__(
        self,
        root: Path | None,
        keep_days: float = 30.0,
        environ: Mapping[str, str] = os.environ,
        *,
        shows: bool = True,
    ) -> None:
        self._shows = shows
        self._root, self._keep_s = root, keep_days * DAY_S
        self._uv = Uv(environ)
        self._swept = time.monotonic() - SWEEP_S

    def get(self, needs: Needs | None, *, at_once: bool = False) -> str:
        """The folder of the environment for what a job needs; empty: it needs none.

        It is made if need be, which takes up to half an hour. Raises as `at_hand`.
        """
        found = self.at_hand(needs, at_once=at_once)
        if found is not None or needs is None or self._root is None:
            return found or ""
        with self._told():
            return str(self._made(self._root, needs, at_once).folder)

    def at_hand(self, needs: Needs | None, *, at_once: bool = False) -> str | None:
        """As `get`, and makes nothing. None: it would have to be made, or to be waited for.

        at_once: try even if it has failed a moment ago.

        Raises:
            BrokenEnvironmentError: it can't be made, whoever tries.
            NoEnvironmentError: it can't be had now, or here.
        """
        if needs is None:
            return ""
        if why := needs.python_trouble():
            raise NoEnvironmentError(why)
        if not needs.dependencies:
            return ""
        if self._root is None:
            raise NoEnvironmentError("it names packages, and QUEUE_ENVIRONMENTS=off makes none")
        with self._told():
            place = layout.place(self._root, hash_of(needs))
            if place.is_made:
                place.touch()
                return str(place.folder)
        self._raise_noted(place, at_once)
        return None

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what the disk refuses as a NoEnvironmentError."""
        try:
            yield
        except OSError as error:
            raise NoEnvironmentError(
                f"QUEUE_ENVIRONMENTS={self._root}: no environment there: {error.strerror or error}"
            ) from error

    def _made(self, root: Path, needs: Needs, at_once: bool) -> Place:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = layout.place(root, hash_of(needs))
        if not place.is_made:
            with locks.held(place.lock, wait=lambda: not self._uv.closed) as lock:
                if lock is None:
                    raise NoEnvironmentError(ENDS)
                if not place.is_made:  # else another process has made it meanwhile
                    self._raise_noted(place, at_once)
                    self._make(place, needs, root, lock, at_once)
        place.touch()
        return place

    def _make(self, place: Place, needs: Needs, root: Path, lock: int, asked: bool) -> None:
        try:
            making.make(place, needs, self._uv, layout.cache(root), lock)
        except JobError as error:
            if not self._uv.closed:
                failures.write(place, error, asked=asked, shows=self._shows)
                shutil.rmtree(place.folder, ignore_errors=True)
            raise
        failures.forget(place)

    def _raise_noted(self, place: Place, at_once: bool) -> None:
        note = failures.read(place)
        if note is None or not note.is_fresh or at_once:
            return
        if note.shown or not self._shows:  # else it is tried here once, for its evidence
            raise note.error()

    @property
    def processes(self) -> set[int]:
        """The ids of the child processes that make environments."""
        return self._uv.running

    def sweep_aside(self) -> None:
        """Remove what was not used for long, once an hour, in a thread."""
        if self._root is None or time.monotonic() - self._swept < SWEEP_S:
            return
        self._swept = time.monotonic()
        with contextlib.suppress(RuntimeError):  # no room for a thread: in an hour
            threading.Thread(target=self._sweep, args=[self._root], daemon=True).start()

    def _sweep(self, root: Path) -> None:
        try:
            ageing.remove_unused(root, self._keep_s)
        except OSError as error:
            ageing.log.warning("can't look for old environments: %s", error)

    def close(self) -> None:
        """End what is being made; nothing more is made."""
        self._uv.close()
