"""The words behind `qm shell` and its options: a command, and maybe its inputs."""

from __future__ import annotations

from collections.abc import Collection

import click

from queue_manager.shell.template import has_place


def split(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """The command's words, and the inputs behind `:::`; None: there is no such word."""
    if ":::" not in words:
        return words, None
    at = words.index(":::")
    return words[:at], words[at + 1 :]


def check_options(command: tuple[str, ...], options: Collection[str]) -> None:
    """Raise UsageError if an option of ours stands behind the command, and would be part of it.

    options: ours, such as `-k` and `--keep-order`.

    A first word with blanks is a whole command. Behind it an option is surely meant for us, but not
    where the input comes behind it, as in `'ls -l' -a {}`.
    """
    first, *others = command or ("",)
    if len(first.split()) < 2 or (not has_place(first) and any(map(has_place, others))):
        return
    for word in others:
        if word.partition("=")[0] in options:
            raise click.UsageError(
                f"options go before the command: qm shell {word} ... {first!r}. If {word} is part"
                " of the command, write it between the same quotes"
            )
