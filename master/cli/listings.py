"""What `results`, `failed` and `show` print: tasks, for programs or for people."""

from __future__ import annotations

import csv
import sys
from collections.abc import AsyncIterator
from functools import partial

from queue_manager.client.connection.session import Session, connected, run_status
from queue_manager.client.runs.choosing import check_master
from queue_manager.settings import Settings
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.messages import AskResults, AskTask, Results, TaskShown
from queue_manager.wire.records import ResultBlock

from .status import number_of
from .text.plain_json import FIELDS, letters_of, lines_of
from .text.printing import exactly, tell_trouble, write
from .text.task_text import letter_lines, letters_title, no_letters_title, task_lines


async def show_results(settings: Settings, authkey: bytes, which: int | str, form: str) -> int:
    """Print the ended tasks of a run. which: its number or its key. Returns the exit code."""
    exactly()
    writer = csv.writer(sys.stdout)
    if form == "csv":
        writer.writerow(FIELDS)
    async with connected(settings, authkey, tell_trouble) as client:
        run = await number_of(client, which)
        async for block in _blocks(client, run, dead=False):
            for line in lines_of(run, block):
                if form == "csv":
                    writer.writerow(line.cells())
                else:
                    sys.stdout.write(line.json() + "\n")
    return 0


async def show_failed(
    settings: Settings,
    authkey: bytes,
    which: int | str,
    form: str,
    only: FailureFilter | None = None,
) -> int:
    """Print the dead letters of a run. which: its number or its key. only: which of them.

    Returns the exit code.
    """
    if form == "jsonl":
        exactly()
    async with connected(settings, authkey, tell_trouble) as client:
        if only is not None:
            check_master(client)
        run = await number_of(client, which)
        status = await run_status(client, run) if form == "text" else None
        chosen = only is not None
        async for block in _blocks(client, run, dead=True, only=only):
            letters = list(letters_of(run, block))
            if status is not None:  # the title says what the first page shows
                raised = any(letter.letter.evidence for letter in letters)
                write([letters_title(status, raised=raised, chosen=chosen)])
                status = None
            for letter in letters:
                if form == "text":
                    write(["", *letter_lines(letter)])
                else:
                    sys.stdout.write(letter.line.json() + "\n")
        if status is not None:
            write([no_letters_title(status) if chosen else letters_title(status, raised=False)])
    return 0


async def show_task(settings: Settings, authkey: bytes, which: int | str, task: int) -> int:
    """Print all that is known of one task of a run. which: its number or its key.

    Returns the exit code.
    """
    async with connected(settings, authkey, tell_trouble) as client:
        run = await number_of(client, which)
        ask = partial(AskTask, run=run, task=task, tries=True)
        shown = await client.call_idempotent(ask, TaskShown)
    write(task_lines(shown.task))
    return 0


async def _blocks(
    client: Session, run: int, *, dead: bool, only: FailureFilter | None = None
) -> AsyncIterator[ResultBlock]:
    """The blocks of a run, one page in memory at a time. It goes on after a lost session."""
    after, complete = 0, False
    while not complete:
        ask = partial(AskResults, run=run, after=after, dead=dead, only=only)
        page = await client.call_idempotent(ask, Results)
        for block in page.blocks:
            yield block
        after, complete = page.last, page.complete
