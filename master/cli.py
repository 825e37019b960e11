"""The commands. Each reads the environment once, and says what is wrong with it in one line."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import click

from queue_manager import __version__
from queue_manager.authkey import find_authkey, master_authkey
from queue_manager.errors import QueueError
from queue_manager.settings import Settings, load_settings

NUMBER = click.IntRange(0, 2**62)


def main() -> None:
    """`qm`: run one command and exit with its code; whatever is wrong is one line."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        code = commands.main(prog_name="qm", standalone_mode=False)
    except click.UsageError as error:
        code = _usage(error)
    except click.Abort:
        code = 130
    sys.exit(code)


def _usage(error: click.UsageError) -> int:
    if error.ctx is not None and error.ctx.command is commands and len(sys.argv) == 1:
        click.echo(error.ctx.get_help(), err=True)  # `qm` alone
    else:
        words = error.ctx.command_path if error.ctx is not None else "qm"
        click.echo(f"qm: {error.format_message().rstrip('.')} (see `{words} --help`)", err=True)
    return error.exit_code


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="quartermaster")
def commands() -> None:
    """Quartermaster: a task queue on the network, on Python's own BaseManager."""


@commands.command()
def serve() -> None:
    """Serve the queues; seed the job JOB with JOB_ARGS once."""
    from .serve import serve as serve_master

    _exit_with(lambda settings: serve_master(settings, master_authkey(settings)))


@commands.command()
@click.argument("job")
@click.argument("arguments", nargs=-1)
def run(job: str, arguments: tuple[str, ...]) -> None:
    """Run JOB from start to end by itself, with a local worker. ARGUMENTS: NAME=VALUE ..."""
    from .alone import run_alone

    words = list(arguments)
    _exit_with(lambda settings: run_alone(settings, master_authkey(settings), job, words))


@commands.command()
@click.argument("job")
@click.argument("arguments", nargs=-1)
@click.option("--wait", is_flag=True, help="Stay until it has ended; exit 1 on dead letters.")
@click.option("--key", help="The same key gives the same run, never a second.")
def submit(job: str, arguments: tuple[str, ...], wait: bool, key: str | None) -> None:
    """Ask a serving master for a run of JOB; prints its id."""
    from .commands import submit_run

    words = list(arguments)
    _exit_with(lambda settings: submit_run(settings, find_authkey(settings), job, words, key, wait))


@commands.command()
@click.argument("run", type=NUMBER, required=False)
@click.option("--all", "everything", is_flag=True, help="Also all ended runs, not the newest only.")
def status(run: int | None, everything: bool) -> None:
    """Show runs, workers and clients, and why nothing moves."""
    from .commands import show_status

    everything = everything and run is None
    _exit_with(lambda settings: show_status(settings, find_authkey(settings), run, everything))


@commands.command()
@click.argument("run", type=NUMBER)
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl")
def results(run: int, form: str) -> None:
    """Print the ended tasks of RUN in task order, while it goes on too."""
    from .listings import show_results

    _exit_with(lambda settings: show_results(settings, find_authkey(settings), run, form))


@commands.command()
@click.argument("run", type=NUMBER)
@click.option("--format", "form", type=click.Choice(["text", "jsonl"]), default="text")
def failed(run: int, form: str) -> None:
    """Print the dead letters of RUN with their evidence."""
    from .listings import show_failed

    _exit_with(lambda settings: show_failed(settings, find_authkey(settings), run, form))


@commands.command()
@click.argument("run", type=NUMBER)
@click.argument("task", type=NUMBER)
def show(run: int, task: int) -> None:
    """Show one TASK of RUN, and what its last bad try printed."""
    from .listings import show_task

    _exit_with(lambda settings: show_task(settings, find_authkey(settings), run, task))


@commands.command()
@click.argument("run", type=NUMBER)
def retry(run: int) -> None:
    """Try the dead letters of RUN again, with its job as it is."""
    from .commands import retry_run

    _exit_with(lambda settings: retry_run(settings, find_authkey(settings), run))


@commands.command()
@click.argument("run", type=NUMBER)
def cancel(run: int) -> None:
    """End RUN now, its running tasks too. What is done stays."""
    from .commands import cancel_run

    _exit_with(lambda settings: cancel_run(settings, find_authkey(settings), run))


@commands.command()
@click.argument("run", type=NUMBER)
def forget(run: int) -> None:
    """Delete an ended RUN with its tasks and results."""
    from .commands import forget_run

    _exit_with(lambda settings: forget_run(settings, find_authkey(settings), run))


def _exit_with(command: Callable[[Settings], Coroutine[Any, Any, int]]) -> None:
    """Run a command and exit with its code; an error of ours is one line and exit code 2."""
    try:
        code = asyncio.run(command(load_settings()))
    except QueueError as error:
        click.echo(f"qm: {error}", err=True)
        code = 2
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Whoever read us has had enough (`qm results 1 | head`); a second error at exit helps none.
        sys.stderr.close()
        code = 0
    sys.exit(code)
