"""Looks at a job in a process of its own: whether it imports, whether arguments fit, its options.

The process that owns the queue never imports code of the user.
"""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import Process
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from queue_manager.environments.python import OWN, Python
from queue_manager.errors import RefusedError
from queue_manager.lifeline import die_with, without_key
from queue_manager.wire.job_records import JobInfo

from ..processes.child_output import end_group, output_of
from . import look
from .look import ANSWER, ARGS, FOLLOWS, NO_ARGS, SHOW, TAKE, Checked

IMPORT_S = 30.0


class Fit(NamedTuple):
    """Arguments that must fit a job's `tasks()`, as in `StartRun`. follows: it is after others."""

    args: Sequence[str] = ()
    arguments: bytes = b""
    follows: bool = False


async def check_job(job: str, fit: Fit | None, folder: Path, python: Python = OWN) -> Checked:
    """What a look at a job shows, without an error. fit: None: the job must only import.

    python: what the process that looks runs with.

    Raises:
        RefusedError: one line that says what is wrong with the job or its arguments.
    """
    values = b"" if fit is None else fit.arguments
    words = [NO_ARGS] if fit is None else [FOLLOWS if fit.follows else ARGS, *fit.args]
    return await _looked(job, folder, words, values, python)


async def describe_jobs(job: str, folder: Path, python: Python = OWN) -> list[JobInfo]:
    """All of a job, which is imported. With an empty name, the names and first lines of all jobs.

    Raises RefusedError as `check_job`.
    """
    return (await _looked(job, folder, [SHOW], b"", python)).jobs


async def first_task(
    job: str, args: Sequence[str], folder: Path, python: Python = OWN
) -> tuple[JobInfo, bytes | None]:
    """All of a job, and the encoded payload of the first task of its `tasks()`, if it has one.

    Raises RefusedError as `check_job`, and if `tasks()` raises.
    """
    taken = await _looked(job, folder, [TAKE, *args], b"", python)
    return taken.jobs[0], taken.first


async def _looked(
    job: str, folder: Path, words: list[str], values: bytes, python: Python
) -> Checked:
    process = await _looking(job, folder, words, values, python)
    try:
        async with asyncio.timeout(IMPORT_S):
            parts = [part async for part in output_of(process, process.stdout)]
    except TimeoutError:
        raise RefusedError(f"{job}: {_slow(words)} took more than {IMPORT_S:.0f} s") from None
    finally:
        end_group(process)  # it may take too long, or have left processes behind
        await process.wait()  # otherwise asyncio complains if the loop ends first
    answer = b"".join(parts).decode("utf-8", "replace").rpartition(ANSWER)[2]
    try:
        checked = msgspec.json.decode(answer, type=Checked)
    except msgspec.MsgspecError:
        code = process.returncode
        raise RefusedError(f"{job}: its import ended the process (exit code {code})") from None
    if checked.error:
        raise RefusedError(checked.error)
    return checked


def _slow(words: list[str]) -> str:
    return "its import, or the first task of its tasks()," if TAKE in words[:1] else "its import"


async def _looking(
    job: str, folder: Path, words: list[str], values: bytes, python: Python
) -> Process:
    """The process that looks, with all that it reads. Raises RefusedError if it can't start."""
    try:
        process = await asyncio.create_subprocess_exec(
            python.program,
            "-m",
            look.__name__,
            str(folder),
            job,
            str(len(values)),
            *words,
            stdin=asyncio.subprocess.PIPE if values else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=python.variables(without_key(os.environ)),
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid()),
        )
    except (OSError, ValueError) as error:  # such as a zero byte in an argument
        raise RefusedError(f"{job}: can't look at it: {error}") from error
    if process.stdin is not None:
        process.stdin.write(values)  # a pipe and this process's memory hold them
        process.stdin.close()
    return process
