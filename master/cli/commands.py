"""The commands that ask a serving master to do something."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from queue_manager.client.connection.session import Session, connected, is_over, run_status
from queue_manager.client.runs.choosing import check_master
from queue_manager.client.runs.reasons import telling_why
from queue_manager.errors import OutputError, ReaderGoneError
from queue_manager.settings import Settings
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.messages import (
    Accepted,
    CancelRun,
    ForgetRun,
    Request,
    RetryRun,
    RunStarted,
    StartRun,
)
from queue_manager.wire.records import RunStatus

from ..observe.run_line import ended_line, errors_line
from .status import number_of
from .text.printing import say, tell, tell_trouble
from .text.progress import progress_of


async def submit_run(
    settings: Settings, authkey: bytes, ask: Callable[[int], StartRun], wait: bool
) -> int:
    """Ask for a run; prints its id. Returns the exit code."""
    async with connected(settings, authkey, tell_trouble) as client:
        started = await _start(client, ask)
        try:
            say(str(started.run))
        except ReaderGoneError:
            raise
        except OutputError as error:
            raise OutputError(f"run {started.run} was started; {error}") from error
        if started.key and not started.created:
            known = f"run {started.run} was there: its arguments make the key {started.key!r}"
            tell(f"{known}. For another run give --key, too")
        if not wait:
            return 0
        try:
            run = await _followed(client, started.run, ask(0).job)
        except asyncio.CancelledError:  # Ctrl-C: it ends this command, and not the run
            tell(f"run {started.run} goes on: qm status {started.run}, or qm cancel {started.run}")
            raise
    tell("; ".join(filter(None, [ended_line(run.run, run), *run.why[:1], errors_line(run)])))
    return 0 if run.state == "done" else 1


async def _followed(client: Session, number: int, label: str) -> RunStatus:
    """Show the progress of a run, and why it waits, until it has ended or stalled.

    Returns its last status.
    """
    told = ""

    def tell_why(line: str) -> None:
        tell(f"run {number} waits: {line}")

    async with (
        progress_of(label) as progress,
        telling_why(client, number, tell_why),
        contextlib.aclosing(client.watch(number)) as news,
    ):
        async for run in news:
            if run.state == "pending" and run.why[:1] != [told]:
                told = run.why[0]
                tell(f"run {number}: {told}")
            progress.show(run.done + run.dead, run.tasks, run.dead)
            if is_over(run) or run.state == "stalled":
                break
    return run


async def _start(client: Session, make: Callable[[int], StartRun]) -> RunStarted:
    if make(0).key is not None:  # a second request gives the same run
        return await client.call_idempotent(make, RunStarted)
    # Only the master knows whether the job makes a key.
    same = "the same command gives the same run if it has --key, or if the job makes a key"
    return await client.call(make, RunStarted, f"whether the run was started ({same})")


async def retry_run(
    settings: Settings,
    authkey: bytes,
    which: int | str,
    only: FailureFilter | None = None,
    reason: str = "",
) -> int:
    """Have dead letters tried again, and a stalled run go on. which: as of `cancel_run`.

    only: which of them; None: all. reason: why. Returns the exit code.
    """
    async with connected(settings, authkey, tell_trouble) as client:
        if only is not None or reason:
            check_master(client)
        status = await run_status(client, which)
        run = status.run
        make = partial(RetryRun, run=run, only=only, reason=reason)
        count = await _changed(client, make, "retried")
    letters = f"{count:,} dead letter{'s go' if count != 1 else ' goes'} back"
    named = 0 if only is None else sum(stop - start for start, stop in only.tasks)
    did = [letters + f", of {named:,} tasks" * (count < named)] * bool(count)
    did += ["its runner starts again"] * (status.state == "stalled" and (only is None or count > 0))
    say(f"run {run}: {'; '.join(did) or 'it has no dead letters'}")
    return 0


async def cancel_run(settings: Settings, authkey: bytes, which: int | str) -> int:
    """End a run now. which: its number or its key. Returns the exit code."""
    run, count = await _change(settings, authkey, which, CancelRun, "cancelled")
    say(f"run {run}: {count:,} task{'s' * (count != 1)} cancelled")
    return 0


async def forget_run(settings: Settings, authkey: bytes, which: int | str) -> int:
    """Delete an ended run. which: its number or its key. Returns the exit code."""
    run, count = await _change(settings, authkey, which, ForgetRun, "forgotten")
    say(f"run {run}: gone, with {count:,} task{'s' * (count != 1)} and their results")
    return 0


async def _change(
    settings: Settings,
    authkey: bytes,
    which: int | str,
    request: type[CancelRun | ForgetRun],
    done: str,
) -> tuple[int, int]:
    """Change a run. Returns its number, and the number of its tasks that this is about."""
    async with connected(settings, authkey, tell_trouble) as client:
        run = await number_of(client, which)
        return run, await _changed(client, partial(request, run=run), done)


async def _changed(client: Session, make: Callable[[int], Request], done: str) -> int:
    """Change a run. Returns the number of its tasks that this is about."""
    return (await client.call(make, Accepted, f"whether the run was {done}")).tasks
