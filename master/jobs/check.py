"""Look at a job in a process of its own: does it import, do its arguments fit, its options?

The process that owns the queue never imports code of the user's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from functools import partial
from pathlib import Path

import msgspec

from queue_manager.authkey import without_key
from queue_manager.errors import JobError, RefusedError
from queue_manager.job.arguments import parse_arguments
from queue_manager.job.loading import load_job
from queue_manager.lifeline import die_with
from queue_manager.terminal import forgive_prints
from queue_manager.wire.records import GroupLimit, RunOptions

from ..processes.child_output import end_group, output_of

IMPORT_S = 30.0
_ANSWER = "quartermaster-check:"
_NO_ARGS = ("-",)


class Checked(msgspec.Struct, frozen=True):
    """What the look has shown. error: one line, empty when the job is fine."""

    error: str = ""
    options: RunOptions = RunOptions()


async def check_job(job: str, args: list[str] | None, folder: Path) -> RunOptions:
    """The options of a job. args: arguments that must fit; None: the job must only import.

    Raises:
        RefusedError: one line that says what is wrong with the job or its arguments.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            str(folder),
            job,
            *(_NO_ARGS if args is None else ("--", *args)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=without_key(os.environ),
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid()),
        )
    except (OSError, ValueError) as error:  # such as a zero byte in an argument
        raise RefusedError(f"{job}: can't look at it: {error}") from error
    try:
        async with asyncio.timeout(IMPORT_S):
            parts = [part async for part in output_of(process, process.stdout)]
    except TimeoutError:
        raise RefusedError(f"{job}: its import took more than {IMPORT_S:.0f} s") from None
    finally:
        end_group(process)  # it takes too long, or nobody waits for it, or it left something
        await process.wait()  # else a loop that ends before it is told complains
    answer = b"".join(parts).decode("utf-8", "replace").rpartition(_ANSWER)[2]
    try:
        checked = msgspec.json.decode(answer, type=Checked)
    except msgspec.MsgspecError:
        code = process.returncode
        raise RefusedError(f"{job}: its import ended the process (exit code {code})") from None
    if checked.error:
        raise RefusedError(checked.error)
    return checked.options


def look(folder: Path, name: str, args: list[str] | None) -> Checked:
    """Import the job and fit the arguments, in this process."""
    try:
        job = load_job(name, folder)
        if args is not None:
            parse_arguments(args, job.tasks)
    except JobError as error:
        return Checked(str(error))
    options, limit = job.options, job.options.per_group
    return Checked(
        options=RunOptions(
            options.attempts,
            options.losses,
            options.timeout_s,
            None if limit is None else GroupLimit(limit.at_once, limit.every_s),
            sorted(options.needs),
            job.finish is not None,
        )
    )


def main() -> None:
    forgive_prints()  # of the job's import
    folder, name, mark, *args = sys.argv[1:]
    checked = look(Path(folder), name, None if mark == _NO_ARGS[0] else args)
    # Below what the job printed while it was imported, on a line of its own.
    with contextlib.suppress(BrokenPipeError):  # the master has ended meanwhile
        sys.stdout.write("\n" + _ANSWER + msgspec.json.encode(checked).decode())
        sys.stdout.flush()
    os._exit(0)  # a thread that the job started must not hold the answer back


if __name__ == "__main__":
    main()
