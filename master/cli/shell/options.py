"""The command line of `qm shell`."""

from __future__ import annotations

import gc
import hashlib
import os
from shlex import quote
from typing import Any

import click

from queue_manager.settings import load_settings

from ..kinds import FILE, FOLDER
from ..text.printing import check_output, tell, was_closed

_EPILOG = """\b
Examples:
  qm shell 'convert {} -resize 200 small/{/}' < names.txt > log.jsonl
  find . -name '*.log' -print0 | qm shell --null 'gzip {}'
  qm shell --tag 'ping -c 1 {}' ::: a.example b.example
  qm shell -k --text 'curl -s {}' < addresses.txt > pages.html

\b
Places:
  {}    the input               {.}   without its ending
  {/}   its name, no folder     {//}  its folder
  {/.}  its name, no ending     {#}   its number, from 1 on
"""


@click.command(
    epilog=_EPILOG,
    context_settings={"allow_interspersed_args": False},
)
@click.argument("command", nargs=-1, type=FILE, metavar="COMMAND [::: INPUT...]")
@click.option("-0", "--null", is_flag=True, help="Inputs end with a zero byte, not a newline.")
@click.option(
    "-a", "--arg-file", type=FILE, metavar="FILE", multiple=True, help="Read the inputs from FILE."
)
@click.option("-k", "--keep-order", is_flag=True, help="Print in the order of the inputs.")
@click.option("--raw", is_flag=True, help="Put inputs in as they are: the shell reads them.")
@click.option("--text", is_flag=True, help="Print what the commands print, and no JSON.")
@click.option("--tag", is_flag=True, help="As --text, with the input before each line.")
@click.option("--timeout", type=float, metavar="SECONDS", help="End a command that takes longer.")
@click.option("--retries", type=int, metavar="N", help="Try a failing command N times in all.")
@click.option(
    "--halt", default="never", metavar="WHEN", help="Give up: now,fail=1, soon,fail=10%, ..."
)
@click.option(
    "--joblog", type=FILE, metavar="FILE", help="Write a line for each command, as GNU Parallel."
)
@click.option("--key", help="The same key goes on where it was, and runs nothing twice.")
@click.option(
    "--workdir", type=FOLDER, metavar="DIR", help="Where commands run; by default this folder."
)
@click.option(
    "--large", type=FOLDER, metavar="DIR", help="Where outputs go that no result has room for."
)
@click.option("--progress", is_flag=True, help="Show a bar on a terminal.")
def shell(command: tuple[str, ...], **options: Any) -> int:
    """Run COMMAND for each line of standard input. Options go before COMMAND.

    The workers run it, and a line of JSON is printed for each. Without a place such as {}, the
    input is the command's last word. The exit code is 1 if a command has failed. Without QUEUE_HOST
    there is a master and a worker for this command alone.
    """
    from ..own.asynchronous import with_master
    from .commands import rest_line, run_commands

    check_output()
    settings = load_settings()
    plan = _plan(command, **options)
    gc.enable()
    name = f"shell-{hashlib.sha256(os.fsencode(plan.key)).hexdigest()[:16]}" if plan.key else ""
    try:
        return with_master(settings, name, lambda master: run_commands(master, plan))
    except KeyboardInterrupt:  # click would print an empty line
        tell(f"qm: interrupted; {rest_line(plan.key, not settings.queue_host_set)}")
        return 130


def _plan(
    words: tuple[str, ...],
    *,
    null: bool,
    arg_file: tuple[str, ...],
    keep_order: bool,
    raw: bool,
    text: bool,
    tag: bool,
    timeout: float | None,
    retries: int | None,
    halt: str,
    joblog: str | None,
    key: str | None,
    workdir: str | None,
    large: str | None,
    progress: bool,
) -> Any:
    """The plan of a command line. Raises UsageError if it is wrong, and InputError."""
    from queue_manager.shell.order import MOST_TRIES, Order
    from queue_manager.shell.template import Template

    from .commands import Plan
    from .halt import halt_of
    from .inputs import Words, file_input, standard_input
    from .words import check_options, split

    before, given = split(words)
    check_options(before, _ours())
    template = " ".join(before)
    if not template.strip():
        raise click.UsageError("give a command, such as 'wc -l {}'")
    if timeout is not None and not 0 < timeout < 10**9:
        raise click.UsageError(f"--timeout {timeout:g} is no number of seconds above 0")
    if retries is not None and not 0 < retries <= MOST_TRIES:
        raise click.UsageError(f"--retries {retries} is no number from 1 to {MOST_TRIES}")
    if len(arg_file) > 1:
        files = " ".join(map(quote, arg_file))
        raise click.UsageError(f"--arg-file is one file: for several, cat {files} | qm shell ...")
    if given is not None and arg_file:
        raise click.UsageError("inputs come from --arg-file or from behind :::, not from both")
    try:
        when = halt_of(halt)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    end = b"\0" if null else b"\n"
    inputs: Any
    if given is not None:
        inputs = Words(given)
    elif arg_file:
        inputs = file_input(arg_file[0], end)
    else:
        inputs = standard_input(end, was_closed(0))
    return Plan(
        template=Template(template, raw),
        given=inputs,
        order=Order(
            "",
            folder=os.path.abspath(workdir or "."),
            timeout_s=timeout,
            retries=retries or 1,
            large=os.path.abspath(large) if large else "",
        ),
        form="tag" if tag else "text" if text else "jsonl",
        keeps_order=keep_order,
        halt=when,
        joblog=joblog,
        key=key or None,
        shows_progress=progress,
    )


def _ours() -> set[str]:
    """All options of the command, such as `-k`."""
    options = (option for one in shell.params for option in one.opts if option.startswith("-"))
    return {*options, "--help"}
