"""The worker's one session with the master.

This module owns the link, what is sent over it and when, signals, and the end of the worker. It
runs no code of the user, so it answers whatever the slots do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid

from queue_manager import __version__
from queue_manager.client.connection.link import Link
from queue_manager.environments.environments import Environments
from queue_manager.job.tags import python_tag
from queue_manager.lifeline import stop_signals
from queue_manager.log_lines import about, always
from queue_manager.settings import Settings
from queue_manager.wire.messages import (
    LEVEL,
    Beat,
    Exchange,
    Hello,
    Leases,
    Reply,
    Revoked,
    Welcome,
)
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.tls import client_mode

from ..jobs.job_environments import JobEnvironments
from ..processes.orphans import Orphans
from .code_requests import CodeRequests
from .flow_control import FlowControl, Room
from .link_protocol import AnyLink, LinkMaker
from .meter import Meter
from .outbox import Entry, Outbox
from .pool.pool import Pool
from .pulse import keep_pulse
from .slots.output import Relays

log = logging.getLogger("quartermaster.worker")

GOODBYE_S = 0.3
"""How long the worker's end waits for killed slots, and then for the last bytes of the link."""


class Supervisor:
    """One worker: its session and its pool of slots.

    Args:
        settings: the worker's settings.
        authkey: the key that master and worker have.
        make_link: makes the link.
        relays: where the output of slots goes; None: this process's own stdout and stderr.
        adopts: whether this process becomes the parent of processes that slots leave behind.
    """

    def __init__(
        self,
        settings: Settings,
        authkey: bytes,
        make_link: LinkMaker = Link,
        relays: Relays | None = None,
        *,
        adopts: bool = False,
    ) -> None:
        self._settings = settings
        self._name = _name(settings.worker_name)
        always.update(about(worker=f"{self._name}/{os.getpid()}"))
        self._worker = uuid.uuid4().hex
        self.link = self._make_link(authkey, make_link)
        self._outbox = Outbox()
        self._flow = FlowControl()
        made = Environments(settings.queue_environments, settings.queue_keep_days)
        self._environments = JobEnvironments(settings.jobs_folder, made)
        self._orphans = Orphans(adopts, self._environments.processes)
        self._code: CodeRequests | None = None
        if settings.worker_jobs == "master":
            self._code = CodeRequests(self.link, self._next_seq)
        self._meter = Meter(lambda: self.pool.inventory.slots)
        self.pool = self._make_pool(relays or Relays.standard())
        self._seq = self._store = 0
        self._next_flush: asyncio.Handle | None = None
        self._draining = False
        self._done = asyncio.Event()

    def _make_link(self, authkey: bytes, make_link: LinkMaker) -> AnyLink:
        settings = self._settings
        return make_link(
            Masters(settings.masters),
            authkey,
            self._hello,
            on_message=self._received,
            on_up=self._up,
            on_down=self._down,
            on_room=self._changed,
            mode=client_mode(settings),
        )

    def _make_pool(self, relays: Relays) -> Pool:
        return Pool(
            self._settings.jobs_folder,
            self._settings.worker_slots,
            self._outbox,
            self._orphans,
            relays,
            self._flow,
            self._changed,
            self._code.folders if self._code is not None else None,
            self._environments,
            self._meter,
        )

    async def run(self) -> None:
        """Work until a signal, or `drain`, ends it.

        Raises:
            ExceptionGroup: the session or the signs of life have ended with an error. Without one
                of them the worker would look well and do nothing.
        """
        loop = asyncio.get_running_loop()
        for number in stop_signals():
            loop.add_signal_handler(number, self.drain)
        self.pool.start()
        try:
            async with asyncio.TaskGroup() as group:
                link = group.create_task(self._keep_link())
                pulse = group.create_task(
                    keep_pulse(self._settings.health_file, self._pulse, self._beat)
                )
                await self._done.wait()
                self._flush()
                self.link.close()
                pulse.cancel()
                await asyncio.wait({link}, timeout=GOODBYE_S)
                link.cancel()  # it may be connecting to a master that does not answer
        finally:
            self.pool.kill()
            self._orphans.close()
            self._environments.close()
            if self._code is not None:
                self._code.close()
        log.info("worker %s: stopped", self._name)

    async def _keep_link(self) -> None:
        await self.link.run()
        if not self._done.is_set():
            raise RuntimeError("the link to the master has ended by itself")

    def drain(self) -> None:
        """Take no more leases, give running tasks time, then end. A second call ends at once."""
        if self._draining:
            self._end()
            return
        self._draining = True
        drain_s = self._settings.worker_drain_s
        if self.pool.running:
            log.info("worker %s: stopping; running tasks have %g s", self._name, drain_s)
        self.pool.stop()
        asyncio.get_running_loop().call_later(drain_s, self._end)
        self._changed()

    def _end(self) -> None:
        """End now. `GOODBYE_S` later even slots that do not die and a silent master are left."""
        self.pool.kill()
        asyncio.get_running_loop().call_later(GOODBYE_S, self._done.set)
        self._changed()

    @property
    def _owes(self) -> bool:
        """Whether there are outcomes for which the end waits."""
        return not self._outbox.empty if self.link.up else self._outbox.owes

    # --- the session ---

    def _hello(self) -> Hello:
        self._outbox.keep_released()
        slots, lease = self._settings.worker_slots, self.pool.claimed()
        tags = sorted(self._settings.worker_tags | {python_tag()})
        me = self._name, os.getpid(), slots, __version__, self._worker
        return Hello("worker", *me, lease, tags, LEVEL, store=self._store)

    def _up(self, welcome: Welcome) -> None:
        self._store = welcome.store
        slots = self._settings.worker_slots
        plural = "" if slots == 1 else "s"
        where = self.link.where
        log.info("worker %s: connected to %s, %d slot%s", self._name, where, slots, plural)
        self._flow.begin_session()
        if self._code is not None:
            self._code.begin_session()
        self.pool.recognize(welcome.held, welcome.max_bytes)
        self._changed()

    def _down(self, reason: str) -> None:
        """The session is lost. Slots go on with the leases that they hold."""
        log.warning("worker %s: lost the master: %s", self._name, reason)
        self._outbox.recall()
        self._changed()

    def _received(self, message: Reply) -> None:
        if isinstance(message, Revoked):
            self.pool.revoke(message.leases, message.why)
        elif isinstance(message, Leases):
            self._answered(message)
        elif self._code is not None and self._code.takes(message):
            self.pool.code_came()
        else:
            log.warning("worker %s: the master says %s", self._name, message)

    def _answered(self, message: Leases) -> None:
        self._outbox.acknowledged(message.seq)
        if message.refused:
            log.info("worker %s: %d outcomes of old leases refused", self._name, message.refused)
        self._flow.received(len(message.leases))
        if message.leases:
            self.pool.add(message.leases)
        elif self._draining:
            self._changed()

    def _changed(self) -> None:
        """Have `_flush` run once at the end of this turn of the loop."""
        if self._next_flush is None:
            self._next_flush = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._next_flush = None
        if self.link.up:
            while self.link.roomy and (entries := self._outbox.take()):
                self._exchange(entries)
            if self._flow.has_news(self._room):
                self._exchange([])
        if self._draining and self.pool.ended and not self._owes:
            self._done.set()

    @property
    def _room(self) -> Room:
        if self._outbox.full:
            return Room(0, 0, self._draining)
        return Room(self.pool.want, self.pool.free, self._draining)

    def _exchange(self, entries: list[Entry]) -> None:
        seq, demand = self._next_seq(), self._flow.tell(self._room)
        self._outbox.sent(seq, entries)
        self.link.send(Exchange(seq, [entry.outcome for entry in entries], *demand))

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _pulse(self) -> None:
        self._orphans.sweep()
        self._meter.tick()
        self._environments.tick()

    def _beat(self) -> None:
        if self.link.up:
            self.link.send(Beat(self._meter.newest))


def _name(given: str) -> str:
    """The host's name in `status`. WORKER_NAME says where a container is; its own name does not."""
    own = socket.gethostname()
    return own if given in ("", own) else f"{given}:{own}"
