"""Connects to all places where the active master may be, until one greets as that master.

The places get their turn a quarter of a second apart, as in Happy Eyeballs (RFC 8305): a host that
drops packets, or a frozen master, costs no more than that. What counts is the master's first frame,
not the connection, because the kernel of a frozen master still accepts. A place that fails is tried
again while the answer of another one is awaited: a standby may become the active master meanwhile.

This module owns the sockets until then. It knows no key.
"""

from __future__ import annotations

import contextlib
import math
import random
import selectors
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future

from ...addresses import Address, shown
from ...errors import QueueError
from .. import handshake
from .attempt import Attempt
from .places import Place, lookup

STAGGER_S = 0.25
AGAIN_S = (0.2, 0.5)
"""How long after its failure a place is tried again."""

Greeted = tuple[Place, socket.socket, bytes]
"""A place, the connection to it, and the body of the first frame of a master that is active."""


class Race:
    """Goes through the masters that greet, the fastest first. Leave it to close all else.

    Args:
        addresses: where to look.
        first: the place that gets the first turn, such as that of the last session.
        without: places that are not tried.
        stagger_s: the time between two turns.
        limit_s: how long to look.

    Attributes:
        places: all places, as far as they are known.
        failures: what was wrong with each place that has failed, by its label.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        first: Place | None = None,
        without: Collection[Place] = (),
        stagger_s: float = STAGGER_S,
        limit_s: float = math.inf,
    ) -> None:
        self.places: set[Place] = set()
        self.failures: dict[str, Exception] = {}
        self._first, self._without, self._stagger_s = first, without, stagger_s
        self._until = time.monotonic() + limit_s
        self._next_at = 0.0
        self._new: list[Place] = []
        self._again: dict[Place, float] = {}
        self._trying: set[Attempt] = set()
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._lookups = {address: lookup(address) for address in addresses}
        for found in self._lookups.values():
            found.add_done_callback(self._wake)

    def __enter__(self) -> Race:
        return self

    def __exit__(self, *_: object) -> None:
        for attempt in self._trying:
            attempt.sock.close()
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def __iter__(self) -> Iterator[Greeted]:
        """Each master that greets. The iterator ends when no place is left that could."""
        while True:
            now = time.monotonic()
            self._take_found()
            self._expire(now)
            self._start(now)
            if now >= self._until:
                self._give_up()
            if not (self._trying or self._lookups or self._new):
                return
            for key, _ in self._selector.select(self._pause(now)):
                if key.data is None:
                    with contextlib.suppress(OSError):
                        self._woken.recv(64)
                    continue
                greeted = self._go_on(key.data)
                if greeted is not None:
                    yield greeted

    def failed(self, place: Place, error: Exception) -> None:
        """A place is no use, for now. Another one has its turn at once."""
        self.failures[place.label] = error
        self._next_at = 0.0
        self._again[place] = time.monotonic() + random.uniform(*AGAIN_S)

    def _wake(self, _: Future[list[Place]]) -> None:
        with contextlib.suppress(OSError):  # the race may be over
            self._waker.send(b"\0")

    def _take_found(self) -> None:
        for address, found in list(self._lookups.items()):
            if not found.done():
                continue
            del self._lookups[address]
            try:
                places = found.result()
            except (OSError, UnicodeError) as error:
                self.failures[shown([address])] = error
                continue
            self.places |= set(places)
            self._new += [place for place in places if place not in self._without]
            self._new.sort(key=lambda place: place != self._first)

    def _expire(self, now: float) -> None:
        for attempt in [one for one in self._trying if one.until <= now]:
            self._end(attempt, attempt.too_late())

    def _give_up(self) -> None:
        """The time is over. Who has not answered yet has failed."""
        for attempt in list(self._trying):
            self._end(attempt, TimeoutError("it does not answer"))
        for address in self._lookups:
            self.failures[shown([address])] = TimeoutError("its name server does not answer")
        self._lookups.clear()
        self._new.clear()

    def _start(self, now: float) -> None:
        """Begin with the next place, if it is time for one."""
        ready = self._new or [place for place, at in self._again.items() if at <= now]
        while ready and self._next_at <= now:
            place = ready.pop(0)
            self._again.pop(place, None)
            self._next_at = now + self._stagger_s
            try:
                attempt = Attempt(place, now)
            except OSError as error:
                self.failed(place, error)
                continue
            self._trying.add(attempt)
            self._selector.register(attempt.sock, attempt.events, attempt)

    def _pause(self, now: float) -> float | None:
        """How many seconds nothing is to be done, if nothing comes. None: for ever."""
        times = [self._until, *(one.until for one in self._trying)]
        if self._new:
            times.append(self._next_at)
        elif self._again:
            times.append(max(self._next_at, min(self._again.values())))
        return None if min(times) == math.inf else max(0.0, min(times) - now)

    def _go_on(self, attempt: Attempt) -> Greeted | None:
        try:
            frame = attempt.go_on(time.monotonic())
            if frame is not None:
                handshake.read_greeting(frame)
        except BlockingIOError:
            return None
        except (OSError, QueueError) as error:
            self._end(attempt, error)
            return None
        if frame is None:
            self._selector.modify(attempt.sock, attempt.events, attempt)
            return None
        self._drop(attempt)
        return attempt.place, attempt.sock, frame

    def _end(self, attempt: Attempt, error: Exception) -> None:
        self._drop(attempt)
        attempt.sock.close()
        self.failed(attempt.place, error)

    def _drop(self, attempt: Attempt) -> None:
        self._trying.discard(attempt)
        self._selector.unregister(attempt.sock)
