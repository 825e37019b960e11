"""The worker's one session with the master.

Owns the link, what is asked for and reported over it, signals, and the end of the worker. Runs
no code of the user's, so it answers whatever the slots do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Callable
from typing import Protocol

from queue_manager import __version__, health
from queue_manager.client.link import Link
from queue_manager.errors import JobError
from queue_manager.lifeline import stop_signals
from queue_manager.settings import Settings
from queue_manager.wire.messages import (
    AskCode,
    Beat,
    Code,
    Exchange,
    Hello,
    Leases,
    Refused,
    Reply,
    Request,
    Revoked,
    Welcome,
)
from queue_manager.wire.tls import CODE_IN_CLEAR, Mode, client_mode

from ..jobs.code_folder import CodeFolders
from ..processes.orphans import Orphans
from .outbox import Entry, Outbox
from .output import Relays
from .pool import Pool

log = logging.getLogger("quartermaster.worker")

BEAT_S = 5.0
PULSE_S = 1.0
GOODBYE_S = 0.3
"""How long killed slots, and then the link's last bytes, are waited for at the end."""


class AnyLink(Protocol):
    """What the supervisor needs of a link."""

    @property
    def up(self) -> bool: ...
    @property
    def encrypted(self) -> bool: ...
    async def run(self) -> None: ...
    def send(self, message: Request) -> None: ...
    def close(self) -> None: ...


class LinkMaker(Protocol):
    """How a link is made; tests give one that connects to nothing."""

    def __call__(
        self,
        address: tuple[str, int],
        authkey: bytes,
        hello: Callable[[], Hello],
        *,
        on_message: Callable[[Reply], None],
        on_up: Callable[[Welcome], None],
        on_down: Callable[[str], None],
        mode: Mode,
    ) -> AnyLink: ...


class Supervisor:
    """One worker: its session and its pool of slots.

    Args:
        settings: of the worker.
        authkey: what master and worker have.
        make_link: how the link is made.
        relays: where goes what slots print; None is the process's own stdout and stderr.
        adopts: whether this process becomes the parent of what slots leave behind.
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
        self._worker = uuid.uuid4().hex
        address = (settings.queue_host, settings.queue_port)
        self.link = make_link(
            address,
            authkey,
            self._hello,
            on_message=self._received,
            on_up=self._up,
            on_down=self._down,
            mode=client_mode(settings),
        )
        self._outbox = Outbox()
        self._orphans = Orphans(adopts)
        relays = relays or Relays.standard()
        folder, slots = settings.jobs_folder, settings.worker_slots
        self._code = CodeFolders(self._ask_code) if settings.worker_jobs == "master" else None
        self.pool = Pool(
            folder, slots, self._outbox, self._orphans, relays, self._changed, self._code
        )
        self._seq = 0
        self._codes: dict[int, str] = {}
        self._wanted = 0
        self._got = 0
        self._free_told = 0
        self._planned = False
        self._draining = False
        self._told = False
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Work until a signal, or `drain`, ends it.

        Raises:
            ExceptionGroup: the session or the signs of life have ended by an error; without them
                the worker looked well and did nothing.
        """
        loop = asyncio.get_running_loop()
        for number in stop_signals():
            loop.add_signal_handler(number, self.drain)
        self.pool.start()
        try:
            async with asyncio.TaskGroup() as group:
                link = group.create_task(self._keep_link())
                pulse = group.create_task(self._pulse())
                await self._done.wait()
                self._flush()
                self.link.close()
                pulse.cancel()
                await asyncio.wait({link}, timeout=GOODBYE_S)
                link.cancel()  # it may be connecting to a master that does not answer
        finally:
            self.pool.kill()
            self._orphans.close()
            if self._code is not None:
                self._code.close()
        log.info("worker %s: stopped", self._name)

    async def _keep_link(self) -> None:
        await self.link.run()
        if not self._done.is_set():
            raise RuntimeError("the link to the master has ended by itself")

    def drain(self) -> None:
        """Take nothing more, let running tasks end for a while, then end. Again: end now."""
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
        """The time is over; slots that do not die, or a master without answer, get no more."""
        self.pool.kill()
        asyncio.get_running_loop().call_later(GOODBYE_S, self._done.set)
        self._changed()

    @property
    def _owes(self) -> bool:
        """Whether there is something to hand in that is worth waiting for."""
        return not self._outbox.empty if self.link.up else self._outbox.owes

    # --- the session ---

    def _hello(self) -> Hello:
        self._outbox.keep_released()
        slots, lease = self._settings.worker_slots, self.pool.claimed()
        tags = sorted(self._settings.worker_tags)
        return Hello(
            "worker", self._name, os.getpid(), slots, __version__, self._worker, lease, tags
        )

    def _up(self, welcome: Welcome) -> None:
        host, port = self._settings.queue_host, self._settings.queue_port
        slots = self._settings.worker_slots
        plural = "" if slots == 1 else "s"
        log.info("worker %s: connected to %s:%d, %d slot%s", self._name, host, port, slots, plural)
        self.pool.max_bytes = welcome.max_bytes
        self._wanted = self._got = self._free_told = 0
        self._told = False
        self._codes.clear()  # they were asked of another connection
        if self._code is not None:
            self._code.forget_asked()
        self.pool.recognize(welcome.held)
        self._changed()

    def _down(self, reason: str) -> None:
        """Nothing is given up: slots go on with what they hold."""
        log.warning("worker %s: lost the master: %s", self._name, reason)
        self._outbox.recall()
        self._changed()

    def _received(self, message: Reply) -> None:
        if isinstance(message, Revoked):
            self.pool.revoke(message.leases, message.why)
        elif isinstance(message, Leases):
            self._answered(message)
        elif isinstance(message, Code | Refused) and message.seq in self._codes:
            self._code_answered(message)
        else:
            log.warning("worker %s: the master says %s", self._name, message)

    # --- code of jobs ---

    def _ask_code(self, job: str, version: str) -> None:
        if not self.link.encrypted:
            raise JobError(f"its jobs/{job}.py is not the master's, and {CODE_IN_CLEAR}")
        self._seq += 1
        self._codes[self._seq] = version
        self.link.send(AskCode(self._seq, job, version))

    def _code_answered(self, message: Code | Refused) -> None:
        version = self._codes.pop(message.seq)
        if self._code is not None and isinstance(message, Code) and self.link.encrypted:
            self._code.came(message.job, version, message.files)
        elif self._code is not None and isinstance(message, Refused):
            self._code.refused(version, message.error)
        self.pool.code_came()

    def _answered(self, message: Leases) -> None:
        self._outbox.acknowledged(message.seq)
        if message.refused:
            log.info("worker %s: %d outcomes of old leases refused", self._name, message.refused)
        self._got += len(message.leases)
        self._free_told = max(0, self._free_told - len(message.leases))
        self._wanted = max(0, self._wanted - len(message.leases))
        if message.leases:
            self.pool.add(message.leases)
        elif self._draining:
            self._changed()

    def _changed(self) -> None:
        """Report and ask at the end of this turn of the loop: once for all that happens in it."""
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._planned = False
        if self.link.up:
            for entries in self._outbox.take():
                self._exchange(entries)
            if self._want() or self._told != self._draining or self.pool.free > self._free_told:
                self._exchange([])
        if self._draining and self.pool.ended and not self._owes:
            self._done.set()

    def _exchange(self, entries: list[Entry]) -> None:
        want = self._want()
        self._wanted += want
        self._seq += 1
        self._told = self._draining
        self._free_told = self.pool.free
        self._outbox.sent(self._seq, entries)
        outcomes = [entry.outcome for entry in entries]
        self.link.send(
            Exchange(self._seq, outcomes, want, self._draining, self._free_told, self._got)
        )

    def _want(self) -> int:
        return 0 if self._draining else max(0, self.pool.want - self._wanted)

    async def _pulse(self) -> None:
        """Signs of life: a file for the health check, a message for the master."""
        beat_s, complaint = 0.0, ""
        while True:
            try:
                health.touch(self._settings.health_file)
            except OSError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    log.warning("can't touch HEALTH_FILE: %s", error)
            await asyncio.sleep(PULSE_S)
            self._orphans.sweep()
            beat_s += PULSE_S
            if beat_s >= BEAT_S:
                beat_s = 0.0
                if self.link.up:
                    self.link.send(Beat())


def _name(given: str) -> str:
    """What `status` calls the host; a container's own name tells nobody where it is."""
    own = socket.gethostname()
    return own if given in ("", own) else f"{given}:{own}"
