"""The runner of one run, a process of its own: `tasks()`, `collect()`, `report()`, `finish()`.

A client on the same wire as everybody. The event loop owns the connection in a thread; `tasks()`
runs in another, the rest in the main one, so that neither waits for the other.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from queue_manager.errors import BadJobError
from queue_manager.job.arguments import finish_arguments, parse_arguments
from queue_manager.job.loading import Job, load_job
from queue_manager.settings import Settings, load_settings
from queue_manager.terminal import forgive_prints, log_to
from queue_manager.wire.messages import (
    Accepted,
    Collect,
    Collected,
    Finished,
    OpenRun,
    Page,
    RunOpened,
)
from queue_manager.wire.records import NOBODY_COLLECTS

from .collector import Collector
from .crash import flush_output, or_die
from .feeder import Feeder
from .finishing import call_finish, results
from .job_errors import Complaints
from .reporting import Reporter
from .session import Wire


def _inputs(job: Job, words: list[str]) -> Iterator[Any]:
    arguments = parse_arguments(words, job.tasks)
    inputs = () if job.tasks is None else job.tasks(**arguments)
    try:
        return iter(inputs)
    except TypeError:
        kind = type(inputs).__name__
        raise BadJobError(f"{job.name}: tasks() returned {kind}: it must yield payloads") from None


def run_run(number: int, settings: Settings, authkey: bytes) -> None:
    """Feed and collect one run until it is over."""
    wire = Wire(settings, authkey)
    opened = wire.request(lambda seq: OpenRun(seq, number), RunOpened).result()
    job = load_job(opened.job, settings.jobs_folder)
    feeding = threading.Thread(target=lambda: None)
    if not opened.ended:
        feeder = Feeder(wire, number, settings.queue_max_bytes)
        inputs = _inputs(job, opened.words)
        feeding = threading.Thread(target=or_die, args=(feeder.feed, inputs, opened.accepted))
        feeding.daemon = True
    feeding.start()
    if job.collect is job.finish is job.report is None:
        feeding.join()
        _nobody_collects(wire, number)
    else:
        _collect_and_finish(wire, number, opened, job)
        feeding.join()


def _collect_and_finish(wire: Wire, run: int, opened: RunOpened, job: Job) -> None:
    complaints = Complaints()
    reporter = Reporter(wire, run, job.report, complaints)
    reached = opened.collected, opened.into
    collector = Collector(wire, run, job.collect, *reached, complaints, reporter)
    end = collector.collect_all()
    reporter.say_last()
    if job.finish is not None:
        arguments = finish_arguments(job.finish, job.tasks, opened.words)
        call_finish(job.finish, results(wire, run, end.last, complaints), arguments, complaints)
    collector.tell()
    ended_at = end.ended_at or 0.0
    wire.request(lambda seq: Finished(seq, run, ended_at), Accepted).result()


def _nobody_collects(wire: Wire, run: int) -> None:
    wire.send(Collected(run, NOBODY_COLLECTS))
    wire.request(lambda seq: Collect(seq, run, NOBODY_COLLECTS), Page).result()


def _handed_key() -> bytes:
    """The key that the master writes to stdin; then there is nothing more to read, for nobody."""
    key = sys.stdin.buffer.read()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return key


def main() -> None:
    forgive_prints()  # of the job's functions
    log_to(logging.StreamHandler())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    or_die(run_run, int(sys.argv[1]), load_settings(), _handed_key())
    flush_output()
    os._exit(0)  # the threads of the wire are not waited for


if __name__ == "__main__":
    main()
