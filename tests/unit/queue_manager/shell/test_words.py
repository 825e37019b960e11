"""Which commands need no shell."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_manager.shell.words import words_of


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("true", ["true"]),
        ("true  5", ["true", "5"]),
        ("convert 'a b.png' -resize 200 small/'a b.png'", None),
        ("wc -l 'a b'", ["wc", "-l", "a b"]),
        ("wc -l --x=y", ["wc", "-l", "--x=y"]),
        ("wc 'it'\"'\"'s'", ["wc", "it's"]),
        ("wc ''", ["wc", ""]),
        (b"wc 'a\xff'", ["wc", "a\udcff"]),
    ],
)
def test_plain_words_need_no_shell(command: str | bytes, words: list[str] | None) -> None:
    wanted = words or shlex.split(str(command))
    assert words_of(command) == wanted


@pytest.mark.parametrize(
    "command",
    [
        *("a | b", "a > b", "a; b", "a && b", "$HOME/x", "ls *.c", "ls ~", "x=1 ls", "a &", "(a)"),
        *("ls # no", "a `b`", "a\nb", 'a "b"', "a \\b", "echo x", "cd /", "exit 3", "! true", ""),
        *("a {b,c}", "ls ?", "ls [a]", " true", "if true", "a 'b"),
    ],
)
def test_whatever_a_shell_reads_otherwise_needs_one(command: str) -> None:
    assert words_of(command) is None


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4))
def test_words_are_those_of_a_shell_or_there_are_none(words: list[str]) -> None:
    command = " ".join(map(shlex.quote, words))
    found = words_of(command)
    assert found is None or found == words == shlex.split(command)
