"""Leases on their way to workers: who waits, who gets which, and in which frames they travel.

Owns the answer to an exchange: the turn fills it with leases, and it is sent once, at the end.
"""

from __future__ import annotations

import time
from functools import partial

from queue_manager.errors import StoreError
from queue_manager.wire.messages import Exchange, Leases, encode
from queue_manager.wire.records import FRAME_BYTES
from queue_manager.wire.records import Lease as LeaseMessage

from ...turn.answer import guarded
from ...turn.turn import Turn
from .session import WorkerSession

_LEASE_BYTES = 512
_UNREAD_LEASES = 8
"""When so many payloads in a row can't be read, the next are tried in a later turn."""

MOST_SLOTS = 4_096
MOST_WANTED = 4 * MOST_SLOTS
"""No worker takes more leases than that, whatever it asks for."""

GIVE_S = 0.03
"""About how long leases are given in a turn. The other workers have the next turns."""


class Grants:
    """Hands out leases, one to each worker that waits, round after round."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._waiting: dict[int, WorkerSession] = {}
        self._granted: dict[int, WorkerSession] = {}

    def ask(self, worker: WorkerSession, message: Exchange) -> None:
        """An exchange is on disk: its worker waits for as many leases as it wants."""
        session = worker.session
        worker.replies_due += 1
        worker.draining = worker.draining or message.draining
        want = min(max(0, message.want), MOST_SLOTS)
        session.wanted = 0 if worker.draining else min(session.wanted + want, MOST_WANTED)
        session.free = message.free - (worker.sent - message.got)
        if session.wanted and not worker.gone:
            self._waiting[session.id] = worker
        else:
            self._waiting.pop(session.id, None)

    def read_on(self, worker: WorkerSession) -> None:
        """The worker has read what was on its way to it: it may be given more."""
        if worker.session.wanted and not worker.gone:
            self._waiting[worker.session.id] = worker
            self._turn.wake()

    def look_again(self, worker: WorkerSession) -> None:
        """Have a worker wait that was passed over: see `_give`."""
        if worker.session.wanted and worker.session.id not in self._waiting:
            self._waiting[worker.session.id] = worker
            self._turn.wake()

    def remove(self, worker: WorkerSession) -> None:
        """A worker waits for nothing any more."""
        self._waiting.pop(worker.session.id, None)

    # --- at the end of each turn ---

    def give(self, now: float) -> None:
        """Give what is ready. Leases that no answer of this turn takes along are sent at once."""
        guarded(partial(self._give_all, now))
        granted, self._granted = self._granted, {}
        for worker in granted.values():
            if not worker.replies_due:
                guarded(partial(self.send, worker, 0, 0))

    def _give_all(self, now: float) -> None:
        broker = self._turn.broker
        until = time.monotonic() + GIVE_S
        while self._waiting and broker.any_ready:
            given = self._give_round(now, until)
            ran_low = broker.more_low
            self._turn.refill()
            if not given:
                if ran_low and not broker.more_low:
                    self._turn.wake()  # what was read just now is given in the next turn
                break
            if time.monotonic() > until:
                self._turn.wake()
                break

    def _give_round(self, now: float, until: float) -> int:
        """A lease to each that waits; returns how many got one."""
        given = 0
        for worker in list(self._waiting.values()):
            if not self._turn.broker.any_ready or (given and time.monotonic() > until):
                break
            given += self._give(worker, now)
        return given

    def _give(self, worker: WorkerSession, now: float) -> bool:
        session = worker.session
        if worker.is_full:
            del self._waiting[session.id]  # see `read_on` and `send`
            return False
        for _ in range(_UNREAD_LEASES):
            leases = self._turn.broker.leases(session, now)
            if not leases:
                return False
            try:
                messages = [self._turn.lease_message(lease) for lease in leases]
                break
            except StoreError as error:  # they wait again, later; others are given meanwhile
                self._turn.unread(leases, error)
        else:
            del self._waiting[session.id]  # see `look_again`
            return False
        # To the end of the line, so that the next round begins with somebody else.
        del self._waiting[session.id]
        session.wanted -= 1
        worker.sent += len(messages)
        worker.granted += messages
        worker.granted_bytes += sum(map(_bytes_of, messages))
        self._granted[session.id] = worker
        if session.wanted:
            self._waiting[session.id] = worker
        return True

    # --- the answer ---

    def answer(self, worker: WorkerSession, seq: int, refused: int) -> None:
        """Answer an exchange. refused: how many of its outcomes were not the worker's any more."""
        worker.replies_due -= 1
        self.send(worker, seq, refused)

    def send(self, worker: WorkerSession, seq: int, refused: int) -> None:
        """Send what was granted, in frames that are not too long. The first one has the answer."""
        granted, worker.granted = worker.granted, []
        was_full, worker.granted_bytes = worker.is_full, 0
        while True:
            size, count = 0, 0
            for lease in granted:
                size += _bytes_of(lease)
                if count and size > FRAME_BYTES:
                    break
                count += 1
            worker.peer.send_frame(encode(Leases(seq, granted[:count], refused)))
            granted = granted[count:]
            if not granted:
                break
            seq, refused = 0, 0
        if was_full and not worker.is_full:  # the network took it all
            self.read_on(worker)


def _bytes_of(lease: LeaseMessage) -> int:
    """About what it takes in a frame."""
    return len(lease.body) + _LEASE_BYTES
