"""Look at a job in a process of its own: does it import, do its arguments fit, its options?

The process that owns the queue never imports code of the user's.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from queue_manager.arguments import parse_arguments
from queue_manager.errors import JobError, RefusedError
from queue_manager.loading import load_job
from queue_manager.records import RunOptions

IMPORT_S = 30.0
_ANSWER = "quartermaster-check:"


class Checked(msgspec.Struct, frozen=True):
    """What the look has shown. error: one line, empty when the job is fine."""

    error: str = ""
    options: RunOptions = RunOptions()


async def check_job(job: str, words: list[str], folder: Path) -> RunOptions:
    """The options of a job whose arguments fit.

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
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # such as a zero byte among the words
        raise RefusedError(f"{job}: can't look at it: {error}") from error
    try:
        output, _ = await asyncio.wait_for(process.communicate(), IMPORT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise RefusedError(f"{job}: its import took more than {IMPORT_S:.0f} s") from None
    answer = output.decode("utf-8", "replace").rpartition(_ANSWER)[2]
    try:
        checked = msgspec.json.decode(answer, type=Checked)
    except msgspec.MsgspecError:
        code = process.returncode
        raise RefusedError(f"{job}: its import ended the process (exit code {code})") from None
    if checked.error:
        raise RefusedError(checked.error)
    return checked.options


def look(folder: Path, name: str, words: list[str]) -> Checked:
    """Import the job and fit the arguments, in this process."""
    try:
        job = load_job(name, folder)
        parse_arguments(words, job.tasks)
    except JobError as error:
        return Checked(str(error))
    options = job.options
    return Checked(options=RunOptions(options.attempts, options.losses, options.timeout_s))


def main() -> None:
    folder, name, *words = sys.argv[1:]
    checked = look(Path(folder), name, words)
    # Below what the job printed while it was imported, on a line of its own.
    sys.stdout.write("\n" + _ANSWER + msgspec.json.encode(checked).decode())
    sys.stdout.flush()
    os._exit(0)  # a thread that the job started must not hold the answer back


if __name__ == "__main__":
    main()
