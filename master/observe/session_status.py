"""The status of each kind of session: our workers, standard-library clients, runners, commands."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING

from queue_manager.wire.records import Running, SessionStatus

from ..broker.leases.lease import Lease, Session
from .diagnosis import stock_note

if TYPE_CHECKING:  # the server's rooms are above this one
    from ..server.dispatch import OurSession
    from ..server.workers.session import WorkerSession
    from ..stock import StockSession


def worker_status(worker: WorkerSession, now: float) -> SessionStatus:
    """A worker of ours. now: monotonic seconds."""
    session, hello = worker.session, worker.hello
    leases = session.leases.values()
    return SessionStatus(
        "worker",
        worker.name,
        session.slots,
        sum(lease.held for lease in leases),
        _oldest_s(leases, now),
        now - worker.since,
        address=worker.peer.where,
        version=hello.version,
        tags=sorted(session.tags),
        running=_running(session, now),
        usage=worker.usage,
    )


def stock_status(client: StockSession, elsewhere: bool, now: float) -> SessionStatus:
    """A standard-library client, whose name has its address. elsewhere: see `stock_note`."""
    note = stock_note(client, elsewhere, now)
    leases = client.session.leases.values()
    held = sum(lease.held for lease in leases)
    since_s = now - client.since
    return SessionStatus("stock", client.peer.name, 0, held, _oldest_s(leases, now), since_s, note)


def other_status(other: OurSession, now: float) -> SessionStatus:
    """A runner or a command."""
    hello = other.hello
    name, since_s = f"{hello.host}/{hello.pid}", now - other.since
    return SessionStatus(
        hello.role, name, 0, 0, 0.0, since_s, address=other.address, version=hello.version
    )


def _oldest_s(leases: Iterable[Lease], now: float) -> float:
    return max((now - lease.since for lease in leases), default=0.0)


def _running(session: Session, now: float) -> list[Running]:
    """The first open task of each lease that a slot has taken, the oldest first.

    Slots take leases in the order in which they were given. So with n slots the oldest n leases
    are being worked on, and the others wait behind them. Only an async slot may have begun more.
    """
    leases = heapq.nsmallest(session.slots, session.leases.values(), lambda lease: lease.number)
    return [
        Running(lease.run.id, lease.first + lease.open[0][0], now - lease.begun) for lease in leases
    ]
