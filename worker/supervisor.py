"""The worker's one session with the master.

Owns the link, what is asked for and reported over it, signals, and the end of the worker. Runs
no code of the user's, so it answers whatever the slots do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from typing import Protocol

from queue_manager import __version__, health
from queue_manager.link import Link
from queue_manager.records import (
    Beat,
    Done,
    Exchange,
    Failed,
    Hello,
    Leases,
    Outcome,
    Reply,
    Request,
    Welcome,
)
from queue_manager.settings import Settings

from .crew import Crew

log = logging.getLogger("quartermaster.worker")

BEAT_S = 5.0
PULSE_S = 1.0
EXCHANGE_BYTES = 4 * 1024 * 1024
"""Outcomes above this wait for the next exchange: a frame holds 8 MiB at most."""


class AnyLink(Protocol):
    """What the supervisor needs of a link."""

    @property
    def up(self) -> bool: ...
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
    ) -> AnyLink: ...


class Supervisor:
    """One worker: its session and its crew of slots."""

    def __init__(self, settings: Settings, authkey: bytes, make_link: LinkMaker = Link) -> None:
        self._settings = settings
        self._name = socket.gethostname()
        address = (settings.queue_host, settings.queue_port)
        self.link = make_link(
            address,
            authkey,
            self._hello,
            on_message=self._received,
            on_up=self._up,
            on_down=self._down,
        )
        self.crew = Crew(settings.jobs_folder, settings.worker_slots, self._changed)
        self._seq = 0
        self._wanted = 0
        self._planned = False
        self._draining = False
        self._told = False
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Work until a signal, or `drain`, ends it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.drain)
        self.crew.start()
        pulse = asyncio.create_task(self._pulse())
        link = asyncio.create_task(self.link.run())
        await self._done.wait()
        self._flush()
        self.link.close()
        pulse.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link, PULSE_S)
        log.info("worker %s: stopped", self._name)

    def drain(self) -> None:
        """Take nothing more, let running tasks end for a while, then end. Again: end now."""
        if self._draining:
            self.crew.kill()
            return
        self._draining = True
        drain_s = self._settings.worker_drain_s
        if self.crew.running:
            log.info("worker %s: stopping; running tasks have %g s", self._name, drain_s)
        self.crew.stop()
        asyncio.get_running_loop().call_later(drain_s, self.crew.kill)
        self._changed()

    # --- the session ---

    def _hello(self) -> Hello:
        slots = self._settings.worker_slots
        return Hello("worker", self._name, os.getpid(), slots, __version__)

    def _up(self, welcome: Welcome) -> None:
        host, port = self._settings.queue_host, self._settings.queue_port
        slots = self._settings.worker_slots
        plural = "" if slots == 1 else "s"
        log.info("worker %s: connected to %s:%d, %d slot%s", self._name, host, port, slots, plural)
        self.crew.max_bytes = welcome.max_bytes
        self._wanted = 0
        self._told = False
        self._changed()

    def _down(self, reason: str) -> None:
        log.warning("worker %s: lost the master: %s", self._name, reason)
        self.crew.forget()

    def _received(self, message: Reply) -> None:
        if not isinstance(message, Leases):
            log.warning("worker %s: the master says %s", self._name, message)
            return
        if message.refused:
            log.info("worker %s: %d outcomes of old leases refused", self._name, message.refused)
        self._wanted = max(0, self._wanted - len(message.leases))
        self.crew.add(message.leases)

    def _changed(self) -> None:
        """Report and ask at the end of this turn of the loop: once for all that happens in it."""
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._planned = False
        if self._draining and self.crew.ended:
            self._done.set()
        if not self.link.up:
            return
        for outcomes in portions(self.crew.take_outcomes()):
            self._exchange(outcomes)
        if self._want() or self._told != self._draining:
            self._exchange([])

    def _exchange(self, outcomes: list[Outcome]) -> None:
        want = self._want()
        self._wanted += want
        self._seq += 1
        self._told = self._draining
        self.link.send(Exchange(self._seq, outcomes, want, self._draining))

    def _want(self) -> int:
        return 0 if self._draining else max(0, self.crew.want - self._wanted)

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
            beat_s += PULSE_S
            if beat_s >= BEAT_S:
                beat_s = 0.0
                if self.link.up:
                    self.link.send(Beat())


def _size(outcome: Outcome) -> int:
    if isinstance(outcome, Done):
        return len(outcome.results) + sum(len(block.body) for block in outcome.follow)
    return len(outcome.error) + len(outcome.evidence) if isinstance(outcome, Failed) else 0


def portions(outcomes: list[Outcome]) -> list[list[Outcome]]:
    """Cut outcomes so that each exchange fits in a frame."""
    found: list[list[Outcome]] = []
    room = 0
    for outcome in outcomes:
        size_bytes = _size(outcome)
        if not found or size_bytes > room:
            found.append([])
            room = EXCHANGE_BYTES
        found[-1].append(outcome)
        room -= size_bytes
    return found
