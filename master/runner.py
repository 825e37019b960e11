"""The runner: `tasks()` and `collect()` of one run, in a process of its own.

A client on the same wire as everybody. The event loop owns the connection in a thread; `tasks()`
runs in another, `collect()` in the main one, so that neither waits for the other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
import types
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from queue_manager import __version__, codec
from queue_manager.arguments import parse_arguments
from queue_manager.authkey import find_authkey
from queue_manager.batching import Batching
from queue_manager.errors import BadJobError, ConnectionLostError, QueueError
from queue_manager.job import Task
from queue_manager.link import Link
from queue_manager.loading import Job, load_job
from queue_manager.messages import (
    Accepted,
    Collect,
    Collected,
    Hello,
    OpenRun,
    Page,
    Request,
    RunOpened,
    SubmitTasks,
    TasksEnded,
)
from queue_manager.records import Ended, NewBlock
from queue_manager.settings import Settings, load_settings
from queue_manager.tls import client_mode

from .runs import NOBODY_COLLECTS

log = logging.getLogger("quartermaster.runner")

FLUSH_S = 0.02
SUBMITS_ON_THE_WAY = 4
BLOCKS_A_SUBMIT = 4
SHOWN_FAILURES = 3
TELL_S = 0.04
"""With as long again until the master has saved it: after a crash at most 0.1 s repeat."""

R = TypeVar("R")


class Wire:
    """The runner's session, usable from plain threads: the loop runs in one of its own."""

    def __init__(self, settings: Settings, authkey: bytes) -> None:
        self._loop = asyncio.new_event_loop()
        hello = Hello("runner", socket.gethostname(), os.getpid(), version=__version__)
        address = (settings.queue_host, settings.queue_port)
        mode = client_mode(settings)
        self._link = Link(address, authkey, lambda: hello, on_down=_lost, mode=mode)
        threading.Thread(target=self._run, daemon=True).start()
        self._submit(self._link.wait_up()).result()

    def request(self, make: Callable[[int], Request], answer: type[R]) -> Future[R]:
        """Send a request now; the future has the answer."""
        return self._submit(self._link.request(make, answer))

    def send(self, message: Request) -> None:
        """Send a message that has no answer."""
        self._loop.call_soon_threadsafe(self._link.send, message)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._link.run())

    def _submit(self, coroutine: Coroutine[Any, Any, R]) -> Future[R]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


def _lost(reason: str) -> None:
    # What is on disk rules: begin anew from there, as after any other death.
    log.warning("lost the master (%s)", reason)
    os._exit(75)


class Feeder:
    """Takes the inputs from `tasks()` and submits them, a few submits ahead of their answers."""

    def __init__(self, wire: Wire, run: int, max_bytes: int) -> None:
        self._wire = wire
        self._run = run
        self._batching = Batching(max_bytes)
        self._blocks: list[NewBlock] = []
        self._lock = threading.Lock()
        self._on_the_way: deque[Future[Accepted]] = deque()
        self._over = threading.Event()

    def feed(self, inputs: Iterator[Any], skip: int) -> None:
        """Submit all inputs; the first `skip` of those without a key were accepted before."""
        threading.Thread(target=_or_die, args=(self._flush_often,), daemon=True).start()
        try:
            self._take(inputs, skip)
        finally:
            self._finish()  # also what came before an error of `tasks()`
        self._wire.request(lambda seq: TasksEnded(seq, self._run), Accepted).result()

    def _take(self, inputs: Iterator[Any], skip: int) -> None:
        add, lock, blocks = self._batching.add, self._lock, self._blocks
        for item in inputs:
            if skip and not (type(item) is Task and item.key is not None):
                skip -= 1
                continue
            with lock:
                ended = add(item)
                if ended is not None:
                    blocks.append(ended)
                    if len(blocks) >= BLOCKS_A_SUBMIT:
                        self._submit()

    def _finish(self) -> None:
        self._over.set()
        with self._lock:
            self._flush()
        while self._on_the_way:
            self._on_the_way.popleft().result()

    def _flush_often(self) -> None:
        """A generator that takes its time must not hold back what it has yielded."""
        while not self._over.wait(FLUSH_S):
            with self._lock:
                self._flush()

    def _flush(self) -> None:
        ended = self._batching.flush()
        if ended is not None:
            self._blocks.append(ended)
        if self._blocks:
            self._submit()

    def _submit(self) -> None:
        sent = list(self._blocks)
        self._blocks.clear()
        answer = self._wire.request(lambda seq: SubmitTasks(seq, self._run, sent), Accepted)
        self._on_the_way.append(answer)
        while self._on_the_way and (
            self._on_the_way[0].done() or len(self._on_the_way) > SUBMITS_ON_THE_WAY
        ):
            self._on_the_way.popleft().result()


class Collector:
    """Gives every outcome to `collect()`, one at a time, in order of completion.

    Args:
        after: the sequence number up to which all was collected before.
        into: how many results of the outcome behind that were, too.
    """

    def __init__(
        self, wire: Wire, run: int, collect: Callable[[Any, Any], Any], after: int, into: int
    ) -> None:
        self._wire = wire
        self._run = run
        self._collect = collect
        self._after, self._into = after, into
        self._told = (after, into)
        self._due = 0.0
        self._errors = self._failed = 0

    def collect_all(self) -> None:
        """Until the run has ended and everything was collected."""
        page = self._ask(self._after).result()
        while True:
            # The next page comes while this one is collected.
            following = None if page.over else self._ask(page.last)
            for ended in page.outcomes:
                self._collect_range(ended, page.bodies[ended.first])
            self._tell()
            if following is None:
                break
            page = following.result()
        self._ask(NOBODY_COLLECTS).result()  # behind the last word of how far it has come

    def _ask(self, after: int) -> Future[Page]:
        return self._wire.request(lambda seq: Collect(seq, self._run, after), Page)

    def _collect_range(self, ended: Ended, body: bytes) -> None:
        skip, collect, clock = self._into, self._collect, time.monotonic
        payloads = codec.decode_batch(body, ended.start + skip, ended.stop)
        results = codec.decode_batch(ended.results, skip)
        for payload, result in zip(payloads, results, strict=True):
            try:
                collect(payload, result)
            except Exception:
                self._note_failure()
            self._into += 1
            if clock() >= self._due:
                self._tell()
        self._after, self._into = ended.seq, 0

    def _tell(self) -> None:
        """Say how far it is; after a crash what was not said is collected again."""
        self._due = time.monotonic() + TELL_S
        reached = (self._after, self._into)
        if reached != self._told or self._errors:
            self._wire.send(Collected(self._run, *reached, self._errors))
            self._told, self._errors = reached, 0

    def _note_failure(self) -> None:
        self._errors += 1
        self._failed += 1
        if self._failed <= SHOWN_FAILURES:
            log.warning("collect() failed:\n%s", traceback.format_exc())


def _inputs(job: Job, words: list[str]) -> Iterator[Any]:
    arguments = parse_arguments(words, job.tasks)
    inputs = () if job.tasks is None else job.tasks(**arguments)
    try:
        return iter(inputs)
    except TypeError:
        kind = type(inputs).__name__
        raise BadJobError(f"{job.name}: tasks() returned {kind}: it must yield payloads") from None


def run_run(number: int, settings: Settings) -> None:
    """Feed and collect one run until it is over."""
    wire = Wire(settings, find_authkey(settings))
    opened = wire.request(lambda seq: OpenRun(seq, number), RunOpened).result()
    job = load_job(opened.job, settings.jobs_folder)
    feeding = threading.Thread(target=lambda: None)
    if not opened.ended:
        feeder = Feeder(wire, number, settings.queue_max_bytes)
        inputs = _inputs(job, opened.words)
        feeding = threading.Thread(target=_or_die, args=(feeder.feed, inputs, opened.accepted))
        feeding.daemon = True
    feeding.start()
    if job.collect is None:
        feeding.join()
        _nobody_collects(wire, number)
    else:
        Collector(wire, number, job.collect, opened.collected, opened.into).collect_all()
        feeding.join()


def _nobody_collects(wire: Wire, run: int) -> None:
    wire.send(Collected(run, NOBODY_COLLECTS))
    wire.request(lambda seq: Collect(seq, run, NOBODY_COLLECTS), Page).result()


def _or_die(function: Callable[..., None], *args: Any) -> None:
    """An error ends the process, in one line or with the traceback of the user's code."""
    try:
        function(*args)
    except ConnectionLostError:
        os._exit(75)
    except QueueError as error:
        log.error("%s", error)
        os._exit(1)
    except BaseException as error:
        traceback.print_exception(type(error), error, _below_ours(error))
        sys.stdout.flush()
        os._exit(1)


def _below_ours(error: BaseException) -> types.TracebackType | None:
    """The traceback from the user's first frame on; all of it when there is none."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace or error.__traceback__


def main() -> None:
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _or_die(run_run, int(sys.argv[1]), load_settings())
    sys.stdout.flush()
    os._exit(0)  # the threads of the wire are not waited for


if __name__ == "__main__":
    main()
