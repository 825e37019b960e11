"""The fields of a form that is made of a job's signature, and which of them an error is about."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from queue_manager.wire.job_records import ArgumentInfo

from .action import Fields

ARG = "arg."
"""Before the name of an argument, so that it is no other field's."""

LINES = "args"
"""More arguments: a text `name=value` each."""

_CHOICES = re.compile(r"one of ([\w.+-]+(?:, [\w.+-]+)*)")
_NAME = r"[^\W\d]\w*="
_BARE, _IN_TWO, _IN_ONE = r"""[^\s"'\\$`]*""", r"""[^"\\$`]*""", "[^']*"
_WORD = rf"""(?:{_NAME}(?:"{_IN_TWO}"|'{_IN_ONE}'|{_BARE})|"{_NAME}{_IN_TWO}"|'{_NAME}{_IN_ONE}')"""
_COMMAND = re.compile(rf"\s*{_WORD}(?:\s+{_WORD})*\s*")
_NAMED = re.compile(r"\barguments? '([^']+)'")
_ABOUT_KEY = re.compile(r"\bthe key (?:'|\"|takes)")
_ABOUT_AFTER = re.compile(r"\b(?:to be|can be|be) after\b|\bsay after which\b")


class Input(NamedTuple):
    """One field. default: as people write it; None: it must be given. choices: the only texts."""

    name: str
    field: str
    kind: str
    about: str
    default: str | None
    choices: list[str]
    mode: str
    long: bool


def inputs_of(arguments: Iterable[ArgumentInfo], fields: Fields) -> list[Input]:
    """The fields for arguments; those that must be given come first."""
    made = [_input(one, fields.text(ARG + one.name)) for one in arguments]
    return sorted(made, key=lambda one: one.default is not None)


def _input(one: ArgumentInfo, typed: str) -> Input:
    found = _CHOICES.fullmatch(one.kind)
    choices = ["true", "false"] if one.kind == "true or false" else []
    choices = found[1].split(", ") if found else choices
    if choices and typed and typed not in choices:  # such as `yes`, which the job takes, too
        choices = [*choices, typed]
    modes = {"a whole number": "numeric", "a number": "decimal"}
    default = None if one.default is None else _written(one.default)
    long = "\n" in typed + (default or "") or "as JSON text" in one.kind
    mode = modes.get(one.kind, "text")
    return Input(one.name, ARG + one.name, one.kind, one.about, default, choices, mode, long)


def _written(default: str) -> str:
    """A default as one would type it: a text without its quotation marks."""
    try:
        value = ast.literal_eval(default)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return default
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    return value if isinstance(value, str) else default


def args_of(fields: Fields) -> list[str]:
    """The arguments that were typed: `name=value` each. An empty field is its default."""
    given = [
        f"{name.removeprefix(ARG)}={text}"
        for name in fields.names
        if name.startswith(ARG) and (text := fields.text(name).replace("\r\n", "\n"))
    ]
    return given + list(lines_of(fields))


def lines_of(fields: Fields) -> Iterator[str]:
    """The arguments of the field for more of them.

    A form has one text with a line for each argument, or for some as a command has them. A program
    has one text for each.
    """
    texts = fields.texts(LINES)
    for text in texts:
        parts = text.splitlines() if len(texts) == 1 else [text]
        for part in parts:
            if part.strip():
                yield from _words_of(part) if fields.typed else [part]


def _words_of(line: str) -> list[str]:
    """The arguments of one line: of a command's, or the line itself.

    A line is a command's if each of its words is `name=value`, with quotation marks around all of
    the word or all of the value. So JSON, a path with a backslash and a text of some words stay.
    """
    return shlex.split(line) if _COMMAND.fullmatch(line) else [line]


def line_of(argument: str) -> str | None:
    """The line of that field which says an argument, with quotation marks if it needs them.

    None: no line says it.
    """
    lines = (argument, shlex.quote(argument), f'"{argument}"')
    return next((line for line in lines if _words_of(line) == [argument]), None)


def field_of(line: str, arguments: Iterable[ArgumentInfo]) -> str:
    """The field that the master's line is about; empty if it does not say that."""
    named = _NAMED.search(line)
    if named:
        return ARG + named[1] if named[1] in {one.name for one in arguments} else LINES
    if _ABOUT_KEY.search(line):
        return "key"
    return "after" if _ABOUT_AFTER.search(line) else ""
