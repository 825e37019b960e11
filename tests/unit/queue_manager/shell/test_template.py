"""Places of a command, as GNU Parallel has them."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_manager.shell.template import Template
from queue_manager.shell.words import words_of


@pytest.mark.parametrize(
    ("place", "given", "made"),
    [
        ("{}", "a/b.tar.gz", "a/b.tar.gz"),
        ("{.}", "a/b.tar.gz", "a/b.tar"),
        ("{.}", "a.d/b", "a.d/b"),
        ("{/}", "a/b.tar.gz", "b.tar.gz"),
        ("{/}", "b", "b"),
        ("{//}", "a/b.c", "a"),
        ("{//}", "b.c", "."),
        ("{//}", "/b.c", "/"),
        ("{//}", "a/b/", "a"),
        ("{/.}", "a/b.tar.gz", "b.tar"),
        ("{#}", "a", "7"),
        ("{-}", "a", "{-} a"),
    ],
)
def test_each_place_is_what_gnu_parallel_puts_there(place: str, given: str, made: str) -> None:
    assert Template(place).command(given, 7) == made


def test_a_command_without_a_place_gets_the_input_as_its_last_word() -> None:
    assert Template("wc -l").command("a b", 1) == "wc -l 'a b'"


def test_an_input_is_one_word_unless_it_is_raw() -> None:
    assert Template("ls {}").command("a; rm -r b", 1) == "ls 'a; rm -r b'"
    assert Template("ls {}", raw=True).command("-l a", 1) == "ls -l a"


def test_a_command_that_is_no_utf_8_is_bytes() -> None:
    assert Template("ls {}").command(os.fsdecode(b"a\xff"), 1) == b"ls 'a\xff'"


@given(st.binary(max_size=30).filter(lambda data: b"\0" not in data))
def test_any_name_comes_to_a_command_as_it_is(name: bytes) -> None:
    command = Template("printf %s {}").command(os.fsdecode(name), 1)
    assert shlex.split(os.fsdecode(command)) == ["printf", "%s", os.fsdecode(name)]
    words = words_of(
        command.replace("printf ", "x ") if isinstance(command, str) else b"x " + command
    )
    if words is not None:
        assert os.fsencode(words[-1]) == name


def test_a_shell_reads_what_was_quoted() -> None:
    name = b'it\'s "a" $HOME `ls`\n\xff'
    command = Template("printf %s {}").command(os.fsdecode(name), 1)
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    assert done.stdout == name
