"""Keeps in memory what is read most: payloads of blocks, and the newest outcomes."""

from __future__ import annotations

from collections import OrderedDict

from queue_manager.wire.records import Lease as LeaseMessage

from ..broker import Broker
from ..broker.leases.lease import Lease
from ..broker.runs.run import Run
from ..changes import Changes, OutcomeRecord
from ..store.contract import Store

BODIES_BYTES = 8 * 1024 * 1024
_BODY_BYTES = 512
"""How much memory an entry takes beside its payloads."""


class Payloads:
    """Payloads that travel with leases and pages, and the outcomes of the last turn."""

    def __init__(self, broker: Broker, store: Store) -> None:
        self._broker = broker
        self._store = store
        self.bodies = Bodies(store)
        self._fresh: list[OutcomeRecord] = []
        self._fresh_behind: dict[int, int] = {}

    def remember(self, changes: Changes) -> None:
        """Keep what is read next: new payloads, and the outcomes of this turn."""
        for block in changes.blocks:
            self.bodies.add(block.id, block.body)
        for block in changes.grown.values():
            self.bodies.replace(block.id, block.body)
        if changes.outcomes:
            runs = self._broker.runs
            self._fresh = changes.outcomes
            self._fresh_behind = {o.run: runs[o.run].last_seq for o in changes.outcomes}

    def read_outcomes(
        self, run: Run, after: int, limit_bytes: int
    ) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
        """As `Store.read_outcomes`. A reader that is up to date needs no look at the disk."""
        if run.last_seq <= after:
            return [], {}
        if after < self._fresh_behind.get(run.id, after + 1):
            return self._store.read_outcomes(run.id, after, limit_bytes)
        outcomes = [o for o in self._fresh if o.run == run.id and o.seq > after]
        kept = [o for o in outcomes if o.block and not o.is_cancelled]
        bodies = {o.first: self.bodies.get(o.block) for o in kept}
        size = sum(len(o.results) for o in outcomes) + sum(map(len, bodies.values()))
        if size > limit_bytes:
            return self._store.read_outcomes(run.id, after, limit_bytes)
        return outcomes, bodies

    def lease_message(self, lease: Lease) -> LeaseMessage:
        """A lease as it travels to a worker. Raises StoreError when its payload can't be read."""
        run = lease.run
        (start, stop), *_ = lease.open
        return LeaseMessage(
            lease.number,
            run.id,
            run.job,
            lease.first,
            start,
            stop,
            self.bodies.get(lease.block),
            run.options.timeout_s,
            lease.block,
            run.version,
            not lease.may_wait,
            0 if lease.tracked is None else lease.tracked.attempts,
            "" if lease.tracked is None else lease.tracked.reason,
            run.traceparent,
        )


class Bodies:
    """Payloads of blocks that were in use lately, at most 8 MiB. The others are read from disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bodies: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def add(self, block: int, body: bytes) -> None:
        """Keep the payloads of a block while there is room."""
        if block in self._bodies:
            return
        self._bodies[block] = body
        self._bytes += len(body) + _BODY_BYTES
        while self._bytes > BODIES_BYTES and len(self._bodies) > 1:
            _, dropped = self._bodies.popitem(last=False)
            self._bytes -= len(dropped) + _BODY_BYTES

    def replace(self, block: int, body: bytes) -> None:
        """Keep the payloads of a block that has grown."""
        dropped = self._bodies.pop(block, None)
        if dropped is not None:
            self._bytes -= len(dropped) + _BODY_BYTES
        self.add(block, body)

    def get(self, block: int) -> bytes:
        """The payloads of a block."""
        body = self._bodies.get(block)
        if body is None:
            body = self._store.read_body(block)
            self.add(block, body)
        else:
            self._bodies.move_to_end(block)
        return body
