"""The command `status`: asks for the parts of it, and prints them page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial

from queue_manager.client.connection.session import Session, connected, run_pages, run_status
from queue_manager.settings import Settings
from queue_manager.wire.messages import (
    AskRuns,
    AskSessions,
    AskStatus,
    RunList,
    SessionList,
    Status,
)
from queue_manager.wire.records import RunStatus

from .text.printing import say, tell_trouble, write
from .text.status_text import (
    count_columns,
    foot_lines,
    head_lines,
    run_lines,
    run_table,
    run_title,
    session_lines,
    status_json,
    status_lines,
)

ENDED_RUNS = 20
"""How many ended runs are shown without `--all`: the newest."""


async def show_status(
    settings: Settings,
    authkey: bytes,
    run: int | str | None = None,
    *,
    state: str = "",
    job: str = "",
    everything: bool = False,
) -> int:
    """Print how the master is, or one run, or the runs of a state or job. Returns the exit code.

    run: its number or its key. everything: also all ended runs.
    """
    async with connected(settings, authkey, tell_trouble) as client:
        status = await client.call_idempotent(AskStatus, Status)
        if run is not None:
            shown = await run_status(client, run)  # raises before anything is printed
            write(head_lines(status))
            write(run_table([shown]))
            write(foot_lines(status))
        elif state or job:
            write(head_lines(status))
            pages = run_pages(client, state, job)
            await _show_runs(pages, None if everything else ENDED_RUNS)
        elif everything:
            write(head_lines(status))
            await _show_runs(run_pages(client), None)
            write([""])
            await _show_sessions(client)
            write(foot_lines(status))
        else:
            runs = await client.call_idempotent(partial(AskRuns, ended=ENDED_RUNS), RunList)
            sessions = await client.call_idempotent(AskSessions, SessionList)
            say(*status_lines(status, runs, sessions))
    return 0


async def print_status(settings: Settings, authkey: bytes) -> int:
    """Print one object of JSON: the master, all that share its store, runs and sessions."""
    async with connected(settings, authkey, tell_trouble) as client:
        status = await client.call_idempotent(AskStatus, Status)
        runs = await client.call_idempotent(partial(AskRuns, ended=ENDED_RUNS), RunList)
        sessions = await client.call_idempotent(AskSessions, SessionList)
    say(status_json(status, runs, sessions))
    return 0


async def number_of(client: Session, run: int | str) -> int:
    """The number of a run. run: that, or its key."""
    return (await run_status(client, run)).run if isinstance(run, str) else run


async def _show_runs(pages: AsyncIterator[RunList], ended: int | None) -> None:
    """Print runs under one title. ended: at most so many ended ones; None is all."""
    columns: tuple[str, ...] = ()
    async for page in pages:
        runs = page.runs if ended is None else list(_cut(page.runs, ended))
        if not columns:  # a later page may have cancelled tasks, which the title can't tell
            columns = count_columns(runs, later_pages=not page.complete)
            write([run_title(columns)])
        write(line for run in runs for line in run_lines(run, columns))
        if ended is None:
            continue
        ended -= sum(run.ended_at is not None for run in runs)
        if len(runs) < len(page.runs) or (not ended and not page.complete):
            write(["       ... and perhaps more: add --all"])
            return


def _cut(runs: Iterable[RunStatus], ended: int) -> Iterable[RunStatus]:
    """The active runs, and the first ended ones, so many of them."""
    for run in runs:
        if run.ended_at is not None:
            if not ended:
                return
            ended -= 1
        yield run


async def _show_sessions(client: Session) -> None:
    after, complete = 0, False
    while not complete:
        page = await client.call_idempotent(partial(AskSessions, after=after), SessionList)
        write(session_lines(page.sessions))
        after, complete = page.last, page.complete or not page.sessions
