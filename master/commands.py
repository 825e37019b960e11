"""The commands that talk to a serving master: submit, status, results."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from functools import partial

import click

from queue_manager.errors import ConnectionLostError, WrongKeyError
from queue_manager.link import Link
from queue_manager.records import (
    AskResults,
    AskStatus,
    Hello,
    Results,
    RunStarted,
    RunStatus,
    StartRun,
    Status,
)
from queue_manager.settings import Settings

from .plain_json import FIELDS, lines_of
from .progress import Progress

CONNECT_S = 5.0
POLL_S = 0.3


@contextlib.asynccontextmanager
async def connected(settings: Settings, authkey: bytes) -> AsyncIterator[Link]:
    """A session with the master.

    Raises:
        WrongKeyError: the master has another key.
        ConnectionLostError: there is none within 5 s; one line.
    """
    hello = Hello("client", socket.gethostname(), os.getpid())
    address = (settings.queue_host, settings.queue_port)
    link = Link(address, authkey, lambda: hello, quiet=True)
    running = asyncio.create_task(link.run())
    try:
        await asyncio.wait_for(_up(link), CONNECT_S)
        yield link
    except TimeoutError:
        where = f"no master at {address[0]}:{address[1]} (QUEUE_HOST, QUEUE_PORT)"
        why = f"{link.failure}" if link.failure is not None else "it does not answer"
        raise ConnectionLostError(f"{where}: {why}") from None
    finally:
        link.close()
        await running


async def _up(link: Link) -> None:
    """Wait until the session is up; a wrong key does not get better by waiting."""
    while not link.up:
        if isinstance(link.failure, WrongKeyError):
            raise link.failure
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link.wait_up(), POLL_S)


async def submit_run(
    settings: Settings, authkey: bytes, job: str, words: list[str], key: str | None, wait: bool
) -> int:
    """Ask for a run; prints its id. Returns the exit code."""
    async with connected(settings, authkey) as link:
        started = await link.request(lambda seq: StartRun(seq, job, words, key), RunStarted)
        click.echo(started.run)
        if not wait:
            return 0
        with Progress(job) as progress:
            run = await _run_status(link, started.run)
            while run.state == "active":
                progress.show(run.done + run.dead, run.tasks)
                await asyncio.sleep(POLL_S)
                run = await _run_status(link, started.run)
    click.echo(_ended_line(run), err=True)
    return 0 if run.state == "done" else 1


async def _run_status(link: Link, run: int) -> RunStatus:
    status = await link.request(lambda seq: AskStatus(seq, run), Status)
    return status.runs[0]


def _ended_line(run: RunStatus) -> str:
    why = f"; {run.why[0]}" if run.why else ""
    took = "" if run.ended_at is None else f" in {run.ended_at - run.started_at:.1f} s"
    return f"run {run.run} ({run.job}) {run.state}: {run.done:,} done, {run.dead:,} dead{took}{why}"


async def show_status(settings: Settings, authkey: bytes, run: int | None) -> int:
    """Print how the master is. Returns the exit code."""
    async with connected(settings, authkey) as link:
        status = await link.request(lambda seq: AskStatus(seq, run), Status)
    for line in _status_lines(status):
        click.echo(line)
    return 0


def _status_lines(status: Status) -> Iterable[str]:
    yield f"master {status.version} at {status.address}, up {status.up_s:.0f} s"
    for trouble in status.why:
        yield f"  ! {trouble}"
    yield ""
    row = "{:>5}  {:<24} {:<8} {:>10} {:>10} {:>8} {:>8} {:>10} {:>6}"
    yield row.format("run", "job", "state", "tasks", "waiting", "leased", "delayed", "done", "dead")
    for run in status.runs:
        job = " ".join([run.job, *run.words]) if run.run else "(queue)"
        counts = (run.tasks, run.waiting, run.leased, run.delayed, run.done, run.dead)
        yield row.format(run.run, job[:24], run.state, *(f"{count:,}" for count in counts))
        for reason in run.why:
            yield f"       ! {reason}"
        if run.collect_errors:
            yield f"       ! collect() raised {run.collect_errors:,} times"
    yield ""
    row = "{:<7} {:<36} {:>5} {:>8} {:>9}  {}"
    yield row.format("session", "name", "slots", "holds", "oldest", "")
    for session in status.sessions:
        oldest = f"{session.oldest_s:.1f} s" if session.held else ""
        held = f"{session.held:,}"
        yield row.format(
            session.role, session.name, session.slots or "", held, oldest, session.note
        ).rstrip()
    if status.refused_outcomes:
        yield ""
        yield f"{status.refused_outcomes:,} outcomes of old leases were refused"


async def show_results(settings: Settings, authkey: bytes, run: int, form: str) -> int:
    """Print the ended tasks of a run. Returns the exit code."""
    sys.set_int_max_str_digits(0)  # ints are exact at any size
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A lone surrogate is written as \udXXX, which is JSON's own form of it.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    writer = csv.writer(sys.stdout)
    if form == "csv":
        writer.writerow(FIELDS)
    async with connected(settings, authkey) as link:
        after, over = 0, False
        while not over:
            page = await link.request(partial(AskResults, run=run, after=after), Results)
            for block in page.blocks:
                for line in lines_of(run, block):
                    if form == "csv":
                        writer.writerow(line.cells())
                    else:
                        sys.stdout.write(line.json() + "\n")
            after, over = page.last, page.over
    sys.stdout.flush()
    return 0
