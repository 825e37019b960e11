"""The words of `qm shell`: options go before the command."""

from __future__ import annotations

import click
import pytest

from master.cli.shell.options import shell
from master.cli.shell.words import check_options, split


def asked(*words: str) -> str:
    """What the command line is refused for."""
    with pytest.raises(click.UsageError) as caught:
        shell.main(list(words), standalone_mode=False)
    return caught.value.message


def test_inputs_are_behind_three_colons() -> None:
    assert split(("ls", "-a")) == (("ls", "-a"), None)
    assert split(("ls", ":::", "a", ":::")) == (("ls",), ("a", ":::"))


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("echo {}", "-k"), "-k"),
        (("echo {}", "-a", "names.txt"), "-a"),
        (("wc -l", "--timeout=3", ":::", "a"), "--timeout=3"),
        (("echo {}", "--help"), "--help"),
    ],
)
def test_an_option_behind_a_whole_command_is_refused(words: tuple[str, ...], option: str) -> None:
    assert asked(*words).startswith(f"options go before the command: qm shell {option} ... ")


@pytest.mark.parametrize(
    "words", [("ls", "-a", "{}"), ("ls -l", "-a", "{}"), ("echo {}", "-x"), ("{}", "-k"), ()]
)
def test_an_option_of_the_command_is_its_own(words: tuple[str, ...]) -> None:
    check_options(words, {"-a", "-k"})


def test_one_file_has_the_inputs() -> None:
    line = "--arg-file is one file: for several, cat n1 'n 2' | qm shell ..."
    assert asked("-a", "n1", "-a", "n 2", "cat") == line
