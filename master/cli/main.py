"""The commands. Each reads the environment once, and says what is wrong with it in one line."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import click

from queue_manager import __version__
from queue_manager.authkey import find_authkey, installation_salt, master_authkey
from queue_manager.client.checking import STATES
from queue_manager.errors import QueueError, ReaderGoneError, SettingsError
from queue_manager.lifeline import hide_key
from queue_manager.log_lines import log_to
from queue_manager.settings import Settings, load_settings
from queue_manager.terminal import is_text
from queue_manager.wire.handshake import stretched

from ..processes.local_worker import LocalWorker
from .choosing import checked_reason, choosing, chosen_of
from .examples import epilog_of
from .kinds import JOB, NUMBER, WHICH
from .mapping.command import map_command
from .scheduling.words import schedule_words
from .shell.options import shell
from .storing.words import backup_words, migrate_store, restore_words
from .text.printing import check_output, take_over, tell

_COMPLETION = """\b
Examples:
  qm completion bash >> ~/.bash_completion
  qm completion zsh > ~/.zfunc/_qm        # with ~/.zfunc in fpath
  qm completion fish > ~/.config/fish/completions/qm.fish
"""


def main(worker: LocalWorker | None = None) -> None:
    """`qm`: run one command and exit with its code. Each error is one line.

    worker: was started for `run`, and has not begun.
    """
    take_over()
    log_to(logging.StreamHandler())
    sys.exit(_checked() or _run(worker))


def _checked() -> int:
    """2 if a word is no text: what it says could not travel."""
    for word in sys.argv[1:]:
        if not is_text(word):
            shown = os.fsencode(word).decode("utf-8", "backslashreplace")
            tell(f"qm: {shown!r} is no UTF-8".replace("\\\\", "\\"))
            return 2
    return 0


def _run(worker: LocalWorker | None) -> int:
    try:
        code: int = commands.main(prog_name="qm", standalone_mode=False, obj=worker)
        sys.stdout.flush()
        return code
    except click.UsageError as error:
        return _usage(error)
    except ReaderGoneError:
        return 0  # `qm results 1 | head` is no error
    except QueueError as error:
        tell(f"qm: {error}")
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130


def _usage(error: click.UsageError) -> int:
    if error.ctx is not None and error.ctx.command is commands and len(sys.argv) == 1:
        click.echo(error.ctx.get_help(), err=True)  # `qm` alone
    else:
        words = error.ctx.command_path if error.ctx is not None else "qm"
        message = " ".join(map(str.strip, error.format_message().splitlines()))  # click has more
        tell(f"qm: {message.rstrip('.')} (see `{words} --help`)")
    return error.exit_code


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="quartermaster")
def commands() -> None:
    """Quartermaster: a task queue on the network, on Python's own BaseManager."""


@commands.command()
@click.option("--listening", type=int, hidden=True)
@click.option("--workers-gone", is_flag=True, hidden=True)
def serve(listening: int | None, workers_gone: bool) -> int:
    """Serve the queues; seed the job JOB with JOB_ARGS once."""
    from .serve import serve as serve_master

    return _code(
        lambda s: serve_master(s, master_authkey(s), listening, workers_gone), prints=False
    )


@commands.command()
@click.argument("job", type=JOB)
@click.argument("arguments", nargs=-1)
@click.pass_obj
def run(worker: LocalWorker | None, job: str, arguments: tuple[str, ...]) -> int:
    """Run JOB from start to end by itself, with a local worker. ARGUMENTS: NAME=VALUE ..."""
    args = list(arguments)
    return _code(lambda s: _run_alone(s, master_authkey(s), job, args, worker), prints=False)


async def _run_alone(
    settings: Settings, authkey: bytes, job: str, args: list[str], worker: LocalWorker | None
) -> int:
    """Have the key stretched while the modules of the master are loaded."""
    made = asyncio.create_task(asyncio.to_thread(_stretch, settings, authkey))
    await asyncio.sleep(0)  # the thread starts
    gc.disable()
    from .run_local import run_alone

    gc.enable()
    await made
    return await run_alone(settings, authkey, job, args, worker or LocalWorker.start())


def _stretch(settings: Settings, authkey: bytes) -> None:
    with contextlib.suppress(SettingsError):  # the service says so
        stretched(authkey, installation_salt(settings))


commands.add_command(map_command)


@commands.command()
@click.argument("job", type=JOB)
@click.argument("arguments", nargs=-1)
@click.option("--wait", is_flag=True, help="Stay until it has ended; exit 1 on dead letters.")
@click.option("--key", help="The same key gives the same run, never a second.")
@click.option(
    "--after",
    type=NUMBER,
    multiple=True,
    metavar="RUN",
    shell_complete=WHICH.shell_complete,
    help="Begin when RUN is done, without dead letters. May be given several times.",
)
@click.option(
    "--traceparent",
    metavar="TEXT",
    help="Of W3C's trace context: its tasks have it as TRACEPARENT. Default: that of here.",
)
def submit(
    job: str,
    arguments: tuple[str, ...],
    wait: bool,
    key: str | None,
    after: tuple[int, ...],
    traceparent: str | None,
) -> int:
    """Ask a serving master for a run of JOB; prints its id."""
    from functools import partial

    from queue_manager.trace import asked_traceparent
    from queue_manager.wire.messages import StartRun

    from .commands import submit_run

    args = list(arguments)
    ask = partial(StartRun, job=job, args=args, key=key or None, after=list(after))

    def asking(settings: Settings) -> Coroutine[Any, Any, int]:
        traced = partial(ask, traceparent=asked_traceparent(traceparent))
        return submit_run(settings, find_authkey(settings), traced, wait)

    return _code(asking)


@commands.command()
@click.argument("run", type=WHICH, required=False)
@click.option("--state", type=click.Choice(STATES), help="Only runs in that state.")
@click.option("--job", type=JOB, metavar="TEXT", help="Only runs of that job.")
@click.option("--all", "everything", is_flag=True, help="Show all ended runs, not only the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print one object of JSON.")
def status(
    run: int | str | None, state: str | None, job: str | None, everything: bool, as_json: bool
) -> int:
    """Show runs, workers and clients, and why nothing moves."""
    from .status import print_status, show_status

    if as_json:
        if run is not None or state or job or everything:
            raise click.UsageError("--json goes with nothing else")
        return _code(lambda s: print_status(s, find_authkey(s)))
    if run is not None and (state or job):
        raise click.UsageError("RUN is one run: --state and --job choose among all of them")
    choice = {"state": state or "", "job": job or ""}
    return _code(lambda s: show_status(s, find_authkey(s), run, everything=everything, **choice))


@commands.command()
@click.argument("run", type=WHICH)
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl")
def results(run: int | str, form: str) -> int:
    """Print ended tasks of RUN in order, also while it goes on."""
    from .listings import show_results

    return _code(lambda s: show_results(s, find_authkey(s), run, form))


@commands.command()
@click.argument("run", type=WHICH)
@choosing
@click.option("--format", "form", type=click.Choice(["text", "jsonl"]), default="text")
def failed(run: int | str, form: str, **only: Any) -> int:
    """Print dead letters of RUN, with their evidence.

    Without TASKS and options all of them; else those for which all that is given holds.
    """
    from .listings import show_failed

    chosen = chosen_of(only)
    return _code(lambda s: show_failed(s, find_authkey(s), run, form, chosen))


@commands.command()
@click.argument("run", type=WHICH)
@click.argument("task", type=NUMBER)
def show(run: int | str, task: int) -> int:
    """Show one TASK of RUN, and how each of its last tries ended."""
    from .listings import show_task

    return _code(lambda s: show_task(s, find_authkey(s), run, task))


@commands.command()
@click.argument("run", type=WHICH)
@choosing
@click.option("--reason", default="", metavar="TEXT", help="Why. It is kept with each task.")
def retry(run: int | str, reason: str, **only: Any) -> int:
    """Try dead letters of RUN again, with its job as it is.

    Without TASKS and options all of them; else those for which all that is given holds.
    """
    from .commands import retry_run

    chosen, why = chosen_of(only), checked_reason(reason)
    return _code(lambda s: retry_run(s, find_authkey(s), run, chosen, why))


@commands.command()
@click.argument("run", type=WHICH)
def cancel(run: int | str) -> int:
    """End RUN now, its running tasks too. What is done stays."""
    from .commands import cancel_run

    return _code(lambda s: cancel_run(s, find_authkey(s), run))


@commands.command()
@click.argument("run", type=WHICH)
def forget(run: int | str) -> int:
    """Delete an ended RUN with its tasks and results."""
    from .commands import forget_run

    return _code(lambda s: forget_run(s, find_authkey(s), run))


@commands.command()
@click.option("--read", "reading", is_flag=True, help="Print the link that opens them for looking.")
@click.option("--at", metavar="HOST:PORT", default="", help="Where a browser reaches them.")
def dashboard(reading: bool, at: str) -> int:
    """Print the link to the pages of the master here."""
    from ..processes.web_access import link_of
    from .text.printing import say

    check_output()
    say(link_of(load_settings(), reading=reading, at=at))
    return 0


@commands.command()
@click.argument("job", type=JOB, required=False)
def jobs(job: str | None) -> int:
    """List the jobs there are, or show the arguments of JOB."""
    from .job_list import show_jobs

    return _code(lambda s: show_jobs(s, job or ""))


@commands.command()
@click.argument("job", type=JOB)
@click.argument("arguments", nargs=-1)
def check(job: str, arguments: tuple[str, ...]) -> int:
    """Run one task of JOB, and say what would happen. ARGUMENTS: NAME=VALUE ...

    The job is that of the folder here. Nothing of the task is kept.
    """
    from .job_check import check_job

    check_output()
    return check_job(load_settings(), job, list(arguments))


@commands.command(epilog=_COMPLETION)
@click.argument("kind", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def completion(kind: str) -> int:
    """Print what has SHELL complete these words.

    SHELL is bash, zsh or fish. Commands, options, files, names of jobs and schedules and numbers of
    runs are completed. The last three come from the master.
    """
    from click.shell_completion import get_completion_class

    check_output()
    made = get_completion_class(kind)
    assert made is not None  # click has these three
    click.echo(made(commands, {}, "qm", "_QM_COMPLETE").source())
    return 0


commands.add_command(shell)
commands.add_command(backup_words(lambda: load_settings()))
commands.add_command(restore_words(lambda: load_settings()))
commands.add_command(migrate_store)
for _name, _command in commands.commands.items():
    _command.epilog = _command.epilog or epilog_of(_name)


def _code(command: Callable[[Settings], Coroutine[Any, Any, int]], *, prints: bool = True) -> int:
    """Run a command and return its exit code. prints: it tells what it did on standard output."""
    if prints:
        check_output()
    settings = load_settings()
    hide_key()
    gc.enable()
    return asyncio.run(command(settings))


commands.add_command(schedule_words(_code))
