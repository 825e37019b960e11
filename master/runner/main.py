"""The runner of one run, a process of its own: `tasks()`, `collect()`, `report()`, `finish()`.

It is a client on the same wire as everybody. One thread owns the connection, another one runs
`tasks()`, and the main thread runs the rest, so neither waits for the other.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from typing import Any

from queue_manager.environments.layout import hold_own
from queue_manager.errors import BadJobError
from queue_manager.job.arguments import (
    PREVIOUS,
    decode_arguments,
    finish_arguments,
    parse_arguments,
    takes_previous,
)
from queue_manager.job.current import TRACE_VARIABLE
from queue_manager.job.loading import UNASKED, Job, load_job
from queue_manager.log_lines import about, always, log_to
from queue_manager.settings import Settings, load_settings
from queue_manager.terminal import forgive_prints
from queue_manager.wire import handshake
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
from .crash import blame_arguments, exit_on_error, flush_output
from .feeder import Feeder
from .finishing import call_finish, results
from .job_errors import JobErrors
from .previous import previous, results_of
from .printed import Kept, keep_prints, tell_printed, tell_printed_for_ever
from .reporting import Reporter
from .session import RunnerSession


def _inputs(job: Job, opened: RunOpened, session: RunnerSession) -> Iterator[Any]:
    """The inputs that `tasks()` gives. It may take the results of the runs that its run is after.

    Raises:
        BadArgumentsError: `tasks()` raised a ValueError.
        BadJobError: `tasks()` returned something that is no iterable.
    """
    follows = bool(opened.after)
    values = decode_arguments(opened.arguments)
    arguments = parse_arguments(opened.args, job.tasks, values, follows=follows)
    if follows and takes_previous(job.tasks):
        arguments[PREVIOUS] = previous(session, opened.after)
    inputs = () if job.tasks is None else blame_arguments(partial(job.tasks, **arguments))
    try:
        return iter(inputs)
    except TypeError:
        kind = type(inputs).__name__
        raise BadJobError(f"{job.name}: tasks() returned {kind}: it must yield payloads") from None


def _begun(inputs: Iterator[Any]) -> Iterator[Any]:
    """The same inputs. The first one is made before this returns.

    Raises:
        BadArgumentsError: making the first one raised a ValueError.
    """
    first = blame_arguments(lambda: list(islice(inputs, 1)))
    return chain(first, inputs)


def _feed(feeder: Feeder, inputs: Iterator[Any], accepted: int) -> None:
    feeder.feed(_begun(inputs), accepted)


def _trace(number: int, opened: RunOpened) -> None:
    """What this process logs is of its run, and what it starts is of the run's trace."""
    trace = opened.traceparent
    always.update(about(run=number, job=opened.job, traceparent=trace))
    if trace:
        os.environ[TRACE_VARIABLE] = trace
    else:
        os.environ.pop(TRACE_VARIABLE, None)


def run_run(number: int, settings: Settings, authkey: bytes, kept: Kept) -> None:
    """Feed and collect one run until it has ended. kept: what its job has printed."""
    session = RunnerSession(settings, authkey)
    tell_printed_for_ever(session, number, kept)
    opened = session.request(lambda seq: OpenRun(seq, number), RunOpened).result()
    _trace(number, opened)
    if opened.feeder == "results":
        _pass_on(session, number, opened, settings.queue_max_bytes)
        return
    job = load_job(opened.job, settings.jobs_folder, UNASKED)
    feeding = threading.Thread(target=lambda: None)
    if not opened.ended:
        feeder = Feeder(session, number, settings.queue_max_bytes)
        what = (_feed, feeder, _inputs(job, opened, session), opened.accepted)
        feeding = threading.Thread(target=exit_on_error, args=what, daemon=True)
    feeding.start()
    if job.collect is job.finish is job.report is None:
        feeding.join()
        tell_printed(session, number, kept)
        _nobody_collects(session, number)
    else:
        _collect_and_finish(session, number, opened, job, kept)
        feeding.join()


def _pass_on(session: RunnerSession, run: int, opened: RunOpened, max_bytes: int) -> None:
    """Give each result of other runs to a run as a payload. No code of its job is needed here."""
    if not opened.ended:
        inputs = chain.from_iterable(results_of(session, before) for before in opened.after)
        Feeder(session, run, max_bytes).feed(inputs, opened.accepted)
    _nobody_collects(session, run)


def _collect_and_finish(
    session: RunnerSession, run: int, opened: RunOpened, job: Job, kept: Kept
) -> None:
    errors = JobErrors()
    reporter = Reporter(session, run, job.report, errors)
    reached = opened.collected, opened.into
    collector = Collector(session, run, job.collect, *reached, errors, reporter)
    end = collector.collect_all()
    reporter.say_last()
    if job.finish is not None:
        values = decode_arguments(opened.arguments)
        arguments = finish_arguments(job.finish, job.tasks, opened.args, values)
        call_finish(job.finish, results(session, run, end.last, errors), arguments, errors)
    collector.tell()
    tell_printed(session, run, kept)
    ended_at = end.ended_at or 0.0
    session.request(lambda seq: Finished(seq, run, ended_at), Accepted).result()


def _nobody_collects(session: RunnerSession, run: int) -> None:
    session.send(Collected(run, NOBODY_COLLECTS))
    session.request(lambda seq: Collect(seq, run, NOBODY_COLLECTS), Page).result()


def _handed() -> tuple[int, bytes]:
    """Wait for the run's number and the key, which the master writes to stdin.

    The keys that the master has made of it are in a line between. The process ends if the master
    has no run for it. After this the job finds nothing on stdin.
    """
    number, _, secret = sys.stdin.buffer.read().partition(b"\n")
    if not number:
        os._exit(0)
    keys_told, _, key = secret.partition(b"\n")
    if keys_told:
        handshake.learn(key, keys_told.decode())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return int(number), key


def main() -> None:
    forgive_prints()  # of the job's functions
    hold_own()
    log_to(logging.StreamHandler())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    number, key = _handed()
    kept = keep_prints()  # the log of ours goes its way without it
    exit_on_error(run_run, number, load_settings(), key, kept)
    flush_output()
    os._exit(0)  # the session's thread never ends by itself


if __name__ == "__main__":
    main()
