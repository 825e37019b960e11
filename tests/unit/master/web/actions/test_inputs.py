"""The fields of a job's form, and which of them an error is about."""

from __future__ import annotations

import time

import pytest

from master.web.actions.action import Fields
from master.web.actions.inputs import args_of, field_of, inputs_of
from queue_manager.wire.job_records import ArgumentInfo

ARGUMENTS = [
    ArgumentInfo("count", "a whole number", "10", "how many"),
    ArgumentInfo("start", "an address"),
    ArgumentInfo("deep", "true or false", "False"),
    ArgumentInfo("tls", "one of verified, none, off", "'verified'"),
    ArgumentInfo("hosts", 'a list[str] as JSON text, such as ["a", "b"]', "()"),
    ArgumentInfo("out", "a text", "'/shared/a'"),
]


def test_each_argument_has_a_field_and_those_that_must_be_given_come_first() -> None:
    made = {one.name: one for one in inputs_of(ARGUMENTS, Fields())}
    assert list(made) == ["start", "count", "deep", "tls", "hosts", "out"]
    assert made["start"].default is None
    assert (made["count"].mode, made["count"].default) == ("numeric", "10")
    assert (made["deep"].choices, made["deep"].default) == (["true", "false"], "false")
    assert made["tls"].choices == ["verified", "none", "off"]
    assert made["hosts"].long
    assert made["out"].default == "/shared/a"
    assert made["count"].field == "arg.count"


def test_a_choice_that_takes_other_texts_too_is_typed() -> None:
    one = ArgumentInfo("x", "one of a, b or a whole number", "'a'")
    assert inputs_of([one], Fields())[0].choices == []


def test_a_text_with_lines_keeps_them() -> None:
    fields = Fields([("arg.out", "a\r\nb"), ("arg.count", ""), ("key", "k")])
    assert args_of(fields) == ["out=a\nb"]
    assert {one.name: one.long for one in inputs_of(ARGUMENTS, fields)}["out"]


def test_more_arguments_are_lines_of_a_form_or_texts_of_a_program() -> None:
    assert args_of(Fields([("args", "a=1\r\n\r\nb=2 3\r\n")])) == ["a=1", "b=2 3"]
    assert args_of(Fields([("args", "a=1\n2"), ("args", "b=2")])) == ["a=1\n2", "b=2"]


@pytest.mark.parametrize(
    ("line", "args"),
    [
        ("count=20 power=3", ["count=20", "power=3"]),
        (" count=20  'text=some words' ", ["count=20", "text=some words"]),
        ('text="some words" count=', ["text=some words", "count="]),
        ("text='a=1 b=2'", ["text=a=1 b=2"]),
        ("text=some words", ["text=some words"]),
        ("text=some words count=20", ["text=some words count=20"]),
        ('hosts=["a", "b"]', ['hosts=["a", "b"]']),
        ('hosts=["a","b"]', ['hosts=["a","b"]']),
        ("path=C:\\new count=1", ["path=C:\\new count=1"]),
        ("text=it's", ["text=it's"]),
        ("text='never closed count=1", ["text='never closed count=1"]),
        ("out=/shared/{slot:%Y-%m-%d %H}", ["out=/shared/{slot:%Y-%m-%d %H}"]),
        ("count", ["count"]),
    ],
)
def test_a_line_that_is_copied_from_a_command_is_split_as_a_shell_does(
    line: str, args: list[str]
) -> None:
    assert args_of(Fields([("args", f"a=1\r\n{line}")], typed=True)) == ["a=1", *args]
    assert args_of(Fields([("args", line)])) == [line], "a program has sent it"


def test_a_long_line_takes_no_time() -> None:
    for line in ("a=1 " * 200_000 + "'", "a" * 800_000, "a='" * 200_000, "'a=" * 200_000):
        began = time.monotonic()
        assert args_of(Fields([("args", line)], typed=True)) == [line]
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("argument 'count' is a whole number, not 'x'", "arg.count"),
        ("missing argument 'start': give start=…", "arg.start"),
        ("missing arguments 'start', 'count': give start=… count=…", "arg.start"),
        ("unknown argument 'cuont' (did you mean count?): the job takes count", "args"),
        ("the key 'k' is that of run 3, of the job square: take another one", "key"),
        ("the key takes 5,000 bytes, and may take 1,024: shorten it", "key"),
        ("no run 9 to be after: see `qm status`", "after"),
        ("the queue run never ends, so no run can be after it", "after"),
        ("there is no job 'square'", ""),
    ],
)
def test_a_line_of_the_master_stands_beside_the_field_that_it_is_about(
    line: str, field: str
) -> None:
    assert field_of(line, ARGUMENTS) == field
