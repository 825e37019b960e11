"""The words of `qm map` and its help. `running` does it, and is loaded for it alone."""

from __future__ import annotations

import gc

import click

from queue_manager.settings import load_settings

from ..kinds import FILE

_HELP = """\
Call a function of FILE with each input, in parallel. Print each result as a line of JSON.

FILE is a Python file, and the function is its work(input), or FUNCTION. INPUTS are files; without
any, standard input is read. Line n of the output is the result of input n, and null where that has
failed.

The same command again goes on where an interrupted one was: what is done is not run again, and the
output is whole. Standard input needs --key for that.

Without QUEUE_HOST the command has a master and a worker of its own, with a slot for each CPU.

\b
Examples:
  qm map work.py inputs.jsonl > results.jsonl
  qm map work.py:resize --lines names.txt -o sizes.jsonl
  find . -name '*.png' -print0 | qm map work.py:resize --null --key pictures > sizes.jsonl
  qm map work.py people.csv --with-input | head
  QUEUE_HOST=10.0.0.5 qm map work.py inputs.jsonl > results.jsonl
"""


STDOUT = "-"


@click.command("map", help=_HELP)
@click.argument("program", type=FILE, metavar="FILE[:FUNCTION]")
@click.argument("inputs", nargs=-1, type=FILE)
@click.option("--jsonl", "form", flag_value="jsonl", help="A JSON value a line; default of .jsonl.")
@click.option("--lines", "form", flag_value="lines", help="A text a line.")
@click.option("--csv", "form", flag_value="csv", help="A dict of each row; default of .csv.")
@click.option("--null", "form", flag_value="null", help="Texts that end with a zero byte.")
@click.option("--with-input", is_flag=True, help='Lines are {"input": ..., "result": ...}.')
@click.option(
    "-o", "--output", type=FILE, metavar="FILE", help="Write results to FILE, when all are there."
)
@click.option(
    "--failed",
    type=FILE,
    metavar="FILE",
    help="Where failures go; default PROGRAM.INPUTS.failed.jsonl.",
)
@click.option("--key", help="What the same command is known by, in the place of its files.")
@click.option("--resume", is_flag=True, help="Go on though the code or the inputs have changed.")
@click.option("--anew", is_flag=True, help="Forget what is recorded; run every input.")
def map_command(
    program: str,
    inputs: tuple[str, ...],
    form: str | None,
    with_input: bool,
    output: str | None,
    failed: str | None,
    key: str | None,
    resume: bool,
    anew: bool,
) -> int:
    """Read the environment, and run the command."""
    if resume and anew:
        raise click.UsageError("--resume keeps what --anew forgets: say one of them")
    _check_names(output, failed, key)
    settings = load_settings()
    try:
        from .inputs import Form
        from .running import Wish, run_map

        gc.enable()
        wish = Wish(
            program=program,
            inputs=inputs,
            form=Form(form) if form else None,
            with_input=with_input,
            output=None if output == STDOUT else output,
            failed=failed,
            key=key,
            resume=resume,
            anew=anew,
        )
        return run_map(settings, wish)
    except KeyboardInterrupt:  # click would print an empty line
        return 130


def _check_names(output: str | None, failed: str | None, key: str | None) -> None:
    """Raise UsageError for names that are none, such as those of variables that are not set."""
    for option, name in (("-o", output), ("--failed", failed), ("--key", key)):
        if name == "":
            raise click.UsageError(f"the name behind {option} is empty")
    if failed == STDOUT:
        raise click.UsageError("--failed - : standard output has the results; name a file")
