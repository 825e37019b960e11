"""Inputs of `qm shell`, as they come."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from master.cli.shell import inputs as inputs_module
from master.cli.shell.inputs import InputError, Stop, Stream, Words, file_input, standard_input

GENEROUS_S = 60.0


def read(path: Path, data: bytes, end: bytes = b"\n") -> list[str]:
    path.write_bytes(data)
    return list(file_input(str(path), end).at_once())


def test_each_line_is_an_input(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert read(path, b"a b\n\nc\r\nlast") == ["a b", "", "c\r", "last"]
    assert read(path, b"") == []
    assert read(path, b"a\xff\n") == [os.fsdecode(b"a\xff")]


def test_an_input_with_newlines_ends_with_a_zero_byte(tmp_path: Path) -> None:
    assert read(tmp_path / "file", b"a\nb\0c\0", b"\0") == ["a\nb", "c"]


def test_inputs_are_whole_wherever_a_read_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs_module, "_READ_BYTES", 3)
    assert read(tmp_path / "file", b"abcdef\ngh\n\xc3\xa9\n") == ["abcdef", "gh", "é"]


def test_an_endless_input_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs_module, "LONGEST_BYTES", 100_000)
    with pytest.raises(InputError, match=r"longer than 100,000 bytes. Each ends with a newline"):
        read(tmp_path / "file", b"x" * 300_000)


def test_a_file_that_is_not_there_is_one_line() -> None:
    with pytest.raises(InputError, match="can't read /nonesuch: No such file or directory"):
        file_input("/nonesuch", b"\n")


def test_standard_input_that_is_closed_or_a_terminal_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="standard input is closed"):
        standard_input(b"\n", True)
    monkeypatch.setattr(os, "isatty", lambda number: True)
    with pytest.raises(InputError, match="standard input is a terminal"):
        standard_input(b"\n", False)


def test_words_are_all_there() -> None:
    words = Words(("a", "b"))
    assert (list(words.at_once()), words.waits) == (["a", "b"], False)


def test_a_pipe_gives_each_input_when_it_comes() -> None:
    async def story() -> list[str]:
        reading, writing = os.pipe()
        stream = Stream(reading, "a pipe", b"\n")
        assert stream.waits
        got = []
        os.write(writing, b"one\ntw")
        async for text in stream.coming(Stop()):
            got.append(text)
            if text == "one":
                os.write(writing, b"o\nlast")
                os.close(writing)
        os.close(reading)
        return got

    assert asyncio.run(asyncio.wait_for(story(), GENEROUS_S)) == ["one", "two", "last"]


def test_a_silent_pipe_ends_when_no_more_is_wanted() -> None:
    async def story() -> list[str]:
        reading, writing = os.pipe()
        stop = Stop()
        os.write(writing, b"one\nhalf")
        got = []
        async for text in Stream(reading, "a pipe", b"\n").coming(stop):
            got.append(text)
            stop.set()
        os.close(reading)
        os.close(writing)
        return got

    assert asyncio.run(asyncio.wait_for(story(), GENEROUS_S)) == ["one"]
