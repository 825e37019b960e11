"""How a command is started: its program directly where a shell would do no more, or a shell.

A shell takes as long as a quick program does. Knows nothing of processes.
"""

from __future__ import annotations

import os
import re

SHELL = "/bin/sh"

_PLAIN = r"[A-Za-z0-9_@%+:,./-]"
_SIMPLE = re.compile(rf"{_PLAIN}+(?: +(?:{_PLAIN}|=)+)*")
_QUOTED = re.compile(rf"{_PLAIN}+(?: +(?:(?:{_PLAIN}|=)+|'[^']*'|\"'\")+)*", re.DOTALL)
"""Words that mean themselves, and what `shlex.quote` makes."""

_PIECES = re.compile(r" +|'([^']*)'|\"(')\"|([^ '\"]+)", re.DOTALL)

_OF_SHELLS = frozenset(
    [
        *(
            ".",
            ":",
            "alias",
            "bg",
            "break",
            "builtin",
            "case",
            "cd",
            "chdir",
            "command",
            "continue",
        ),
        *(
            "declare",
            "do",
            "done",
            "echo",
            "elif",
            "else",
            "enable",
            "esac",
            "eval",
            "exec",
            "exit",
        ),
        *(
            "export",
            "fc",
            "fg",
            "fi",
            "for",
            "function",
            "getopts",
            "hash",
            "help",
            "history",
            "if",
        ),
        *("jobs", "kill", "let", "local", "printf", "pwd", "read", "readonly", "return", "select"),
        *("set", "shift", "source", "suspend", "test", "then", "time", "times", "trap", "type"),
        *("typeset", "ulimit", "umask", "unalias", "unset", "until", "wait", "while"),
    ]
)
"""Words that a shell does by itself. Of `true` and `false` the programs do the same."""


def words_of(command: str | bytes) -> list[str | bytes] | None:
    """The program and its arguments. None: the command needs a shell.

    Bytes that are no UTF-8 are lone surrogates in the words.
    """
    text = command if isinstance(command, str) else os.fsdecode(command)
    words: list[str | bytes]
    if _SIMPLE.fullmatch(text):
        words = [*text.split()]
    elif _QUOTED.fullmatch(text):
        words = [*_split(text)]
    else:
        return None
    return None if words[0] in _OF_SHELLS else words


def _split(text: str) -> list[str]:
    words = [""]
    for piece in _PIECES.finditer(text):
        if piece[0][0] == " ":
            words.append("")
        else:
            words[-1] += piece[1] or piece[2] or piece[3] or ""
    return words


def in_shell(command: str | bytes) -> list[str | bytes]:
    """The words of a shell that runs the command."""
    return [SHELL, "-c", command]
