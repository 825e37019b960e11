"""Lines of ranges: each line of a text is in exactly one range, wherever the ranges are cut."""

from __future__ import annotations

import io

import pytest

from jobs.weblog.read import lines
from jobs.weblog.read.lines import Lines, ShorterError

TEXTS = {
    "plain": b"one\ntwo\nthree\n",
    "no newline at the end": b"one\ntwo\nthree",
    "CRLF": b"one\r\ntwo\r\nthree\r\n",
    "empty lines": b"\n\none\n\n\ntwo\n\n",
    "a line longer than a range": b"a\n" + b"b" * 50 + b"\nc\n",
    "one long line": b"b" * 50,
    "one newline": b"\n",
}


def found(text: bytes, start: int, end: int) -> tuple[bytes, Lines]:
    file = io.BytesIO(text)
    file.seek(max(0, start - lines.LOOKS_BACK_BYTES))
    made = Lines(file.read, start, end)
    return b"".join(made.blocks()), made


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
@pytest.mark.parametrize("block", [1, 4, 1000])
def test_the_ranges_of_a_text_have_each_line_once(
    monkeypatch: pytest.MonkeyPatch, text: bytes, size: int, block: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    monkeypatch.setattr(lines, "_STEP_BYTES", block)
    ends = [(start, min(start + size, len(text))) for start in range(0, len(text), size)]
    together = b"".join(found(text, start, end)[0] for start, end in ends)
    assert together == text + (b"" if text.endswith(b"\n") else b"\n")


HOLES = {
    "where a file was cut in place": (b"\0" * 40 + b"one\ntwo\n", b"one\ntwo\n"),
    "behind a whole line": (b"one\n" + b"\0" * 40 + b"two\n", b"one\ntwo\n"),
    "behind a part of a line": (b"one\ntw" + b"\0" * 9 + b"three\n", b"one\ntw\nthree\n"),
    "before the end of a line": (b"one" + b"\0" * 9 + b"\ntwo\n", b"one\n\ntwo\n"),
    "two of them": (b"one\0\0two\0\0\0three", b"one\ntwo\nthree\n"),
    "at the end": (b"one\n" + b"\0" * 9, b"one\n"),
    "one byte": (b"\0one\ntwo\n\0three\n\0", b"one\ntwo\nthree\n"),
    "one byte within lines, which is none": (b"o\0ne\ntwo\0\n", b"o\0ne\ntwo\0\n"),
    "and nothing else": (b"\0" * 50, b""),
}


@pytest.mark.parametrize(("text", "whole"), HOLES.values(), ids=HOLES)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
@pytest.mark.parametrize("block", [1, 2, 5, 1000])
def test_a_hole_ends_a_line_and_is_none_wherever_the_ranges_are_cut(
    monkeypatch: pytest.MonkeyPatch, text: bytes, whole: bytes, size: int, block: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    monkeypatch.setattr(lines, "_STEP_BYTES", block)
    ends = [(start, min(start + size, len(text))) for start in range(0, len(text), size)]
    assert b"".join(found(text, start, end)[0] for start, end in ends) == whole


@pytest.mark.parametrize("size", [7, 100, 1000])
def test_a_hole_is_no_line_that_is_too_long(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 10)
    monkeypatch.setattr(lines, "LONGEST_BYTES", 25)
    text = b"before\ncut" + bytes(300) + b"behind\n"
    parts = [found(text, start, min(start + size, 317)) for start in range(0, 317, size)]
    assert b"".join(part for part, _ in parts) == b"before\ncut\nbehind\n"
    assert not any(made.too_long for _, made in parts)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_mark_of_the_order_of_bytes_is_no_part_of_the_first_line(size: int) -> None:
    text = b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n"
    ends = [(start, min(start + size, len(text))) for start in range(0, len(text), size)]
    parts = b"".join(found(text, start, end)[0] for start, end in ends)
    assert parts == b"one\n\xef\xbb\xbftwo\n"


@pytest.mark.parametrize("begins_in", [0, 1, 9])
def test_a_line_that_is_too_long_is_passed_over_in_parts(
    monkeypatch: pytest.MonkeyPatch, begins_in: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 10)
    monkeypatch.setattr(lines, "_STEP_BYTES", 10)
    monkeypatch.setattr(lines, "LONGEST_BYTES", 25)
    text = b"x" * begins_in + b"\n" + b"y" * 200 + b"\nbehind\n"
    parts = [found(text, start, start + 12) for start in range(0, len(text) - 12, 12)]
    last = len(parts) * 12
    parts.append(found(text, last, len(text)))
    assert b"".join(text for text, _ in parts) == b"x" * begins_in + b"\nbehind\n"
    assert [len(made.too_long) for _, made in parts].count(1) == 1


def test_a_line_that_is_too_long_within_a_range_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 10)
    monkeypatch.setattr(lines, "LONGEST_BYTES", 25)
    text, made = found(b"before\n" + b"y" * 200 + b"\nbehind\n", 0, 215)
    assert (text, len(made.too_long)) == (b"before\nbehind\n", 1)


@pytest.mark.parametrize("block", [7, 10, 60, 1000])
@pytest.mark.parametrize("size", [20, 45, 1000])
def test_a_line_is_too_long_however_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, block: int, size: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    monkeypatch.setattr(lines, "_STEP_BYTES", block)
    monkeypatch.setattr(lines, "LONGEST_BYTES", 25)
    text = b"".join([b"a\n", b"y" * 26, b"\n", b"z" * 25, b"\n", b"y" * 30, b"\nb\n", b"y" * 26])
    ends = [(start, min(start + size, len(text))) for start in range(0, len(text), size)]
    parts = [found(text, start, end) for start, end in ends]
    assert b"".join(part for part, _ in parts) == b"a\n" + b"z" * 25 + b"\nb\n"
    assert sum(len(made.too_long) for _, made in parts) == 3


def test_what_has_come_behind_the_end_of_the_range_belongs_to_no_range_but_ends_its_last_line() -> (
    None
):
    text, _ = found(b"one\ntwo and more\nlate\n", 0, 7)
    assert text == b"one\ntwo and more\n"


def test_a_file_that_has_become_shorter_is_told() -> None:
    with pytest.raises(ShorterError, match="ends at byte 4"):
        found(b"one\n", 0, 10)


def test_a_stream_without_an_end_is_all_that_it_gives() -> None:
    assert list(Lines(io.BytesIO(b"").read).blocks()) == []
    assert b"".join(Lines(io.BytesIO(b"a\nb").read).blocks()) == b"a\nb\n"
