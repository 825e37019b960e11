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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="quartermaster")
def main() -> None:
    """Quartermaster: a task queue on the network, on Python's own BaseManager."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)


@main.command()
def serve() -> None:
    """Serve the queues; seed the job JOB with JOB_ARGS once."""
    from .serve import serve as serve_master

    _exit_with(lambda settings: serve_master(settings, master_authkey(settings)))


@main.command()
@click.argument("job")
@click.argument("arguments", nargs=-1)
def run(job: str, arguments: tuple[str, ...]) -> None:
    """Run JOB from start to end by itself, with a local worker. ARGUMENTS: NAME=VALUE ..."""
    from .alone import run_alone

    words = list(arguments)
    _exit_with(lambda settings: run_alone(settings, master_authkey(settings), job, words))


@main.command()
@click.argument("job")
@click.argument("arguments", nargs=-1)
@click.option("--wait", is_flag=True, help="Stay until it has ended; exit 1 on dead letters.")
@click.option("--key", help="The same key gives the same run, never a second.")
def submit(job: str, arguments: tuple[str, ...], wait: bool, key: str | None) -> None:
    """Ask a serving master for a run of JOB; prints its id."""
    from .commands import submit_run

    words = list(arguments)
    _exit_with(lambda settings: submit_run(settings, find_authkey(settings), job, words, key, wait))


@main.command()
@click.argument("run", type=int, required=False)
def status(run: int | None) -> None:
    """Show runs, workers and clients, and why nothing moves where nothing does."""
    from .commands import show_status

    _exit_with(lambda settings: show_status(settings, find_authkey(settings), run))


@main.command()
@click.argument("run", type=int)
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl")
def results(run: int, form: str) -> None:
    """Print the ended tasks of RUN in task order, while it goes on too."""
    from .commands import show_results

    _exit_with(lambda settings: show_results(settings, find_authkey(settings), run, form))


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
