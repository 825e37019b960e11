"""The recipients of a campaign, read from CSV or JSONL row by row: a million take no memory."""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from .addresses import Mailbox, mailbox

COLUMNS = ("email", "to", "address", "mail", "recipient")
"""The names that the column of addresses may have, whatever their case."""

MOST_BYTES = 256 * 1024
"""The most bytes of one row."""

MOST_LEVELS = 50
"""The most lists and dicts inside each other in a row of JSONL."""

TOO_LONG = f"it has a line of more than {MOST_BYTES:,} characters"


class Row(NamedTuple):
    """A row. number: from 1, without the heading, with blank lines. wrong: why it is no recipient,
    if it is none."""

    number: int
    mailbox: Mailbox | None
    fields: dict[str, Any]
    wrong: str = ""


def rows(path: str) -> Iterator[Row]:
    """The rows of a file. A row that is wrong says so; the others go on.

    Raises:
        OSError: the file can't be read.
        ValueError: it has no column of addresses.
    """
    jsonl = Path(path).suffix.lower() in (".jsonl", ".ndjson")
    # What is no UTF-8 becomes lone surrogates, so that the row that has it is known.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield from _jsonl(file) if jsonl else _csv(path, file)


class _Lines:
    """The lines of a file for the csv module; those of a record may be given again.

    A line that is too long raises csv.Error.
    """

    def __init__(self, file: TextIO) -> None:
        self._lines = _short_lines(file)
        self._given: list[str | None] = []
        self._again: deque[str | None] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._given.append(line)
        if line is None:
            raise csv.Error(TOO_LONG)
        return line

    def begin(self) -> None:
        """The next line begins a record."""
        self._given.clear()

    def give_again(self) -> None:
        """Give the lines of the record again, but for its first: a quote swallowed them."""
        self._again.extendleft(reversed(self._given[1:]))


def _short_lines(file: TextIO) -> Iterator[str | None]:
    """The lines of a file; None for each that is longer than a row may be."""
    while line := file.readline(MOST_BYTES + 1):
        if len(line) <= MOST_BYTES:
            yield line
            continue
        while line and not line.endswith(("\n", "\r")):
            line = file.readline(MOST_BYTES)
        yield None


def _csv(path: str, file: TextIO) -> Iterator[Row]:
    heading = file.readline(MOST_BYTES)
    if not _is_utf8(heading):
        raise ValueError(f"{path} is not UTF-8: save it as UTF-8")
    delimiter = max(",;\t|", key=heading.count)
    names = next(csv.reader([heading], delimiter=delimiter), [])
    names = [name.strip() for name in names]
    column = _column(names)
    if column is None:
        raise ValueError(
            f"{path} has no column of addresses: name one of {', '.join(COLUMNS)} in its first"
            f" line, which has {', '.join(names) or 'nothing'}"
        )
    for number, cells in enumerate(_records(file, delimiter), 1):
        if isinstance(cells, str):
            yield Row(number, None, {}, f"row {number}: {cells}")
        elif cells and (wrong := _misfit(cells, names)):
            yield Row(number, None, {}, f"row {number} {wrong}")
        elif cells:  # not a blank line
            yield _row(number, dict(zip(names, cells, strict=False)), column)


def _misfit(cells: list[str], names: list[str]) -> str:
    """What is wrong with the number of a row's cells; empty if nothing is.

    A cell of another column would be in the letter otherwise. Programs that write tables end rows
    with delimiters, so there may be more cells that are empty.
    """
    missing = [name for name in names[len(cells) :] if name]
    if missing:
        return f"has no cell for {', '.join(missing)}: it has {len(cells)} of {len(names)} cells"
    surplus = [cell for cell in cells[len(names) :] if cell.strip()]
    if surplus:
        count = f"{len(cells)} cells where the first line has {len(names)}"
        return f"has {count}: put quotes around a text with delimiters"
    return ""


def _records(file: TextIO, delimiter: str) -> Iterator[list[str] | str]:
    """The cells of each record, none for a blank line; or what is wrong with its first line."""
    lines = _Lines(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin()
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield str(error)
            lines.give_again()
            reader = csv.reader(lines, delimiter=delimiter, strict=True)


def _jsonl(file: TextIO) -> Iterator[Row]:
    for number, line in enumerate(_short_lines(file), 1):
        if line is None:
            yield Row(number, None, {}, f"row {number}: {TOO_LONG}")
            continue
        if not line.strip():
            continue
        try:
            found = json.loads(line)
            if _is_deeper(found, MOST_LEVELS):
                raise RecursionError(f"it has more than {MOST_LEVELS} levels")
        except (ValueError, RecursionError) as error:
            yield Row(number, None, {}, f"row {number} is no JSON: {error}")
            continue
        column = _column(list(found)) if isinstance(found, dict) else None
        if column is None:
            yield Row(number, None, {}, f"row {number} has no field called {COLUMNS[0]}")
            continue
        yield _row(number, found, column)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _column(names: list[str]) -> str | None:
    by_name = {name.strip().lower(): name for name in reversed(names)}
    return next((by_name[name] for name in COLUMNS if name in by_name), None)


def _row(number: int, found: dict[str, Any], column: str) -> Row:
    if not _is_utf8(json.dumps(found, ensure_ascii=False)):
        return Row(number, None, {}, f"row {number} is not UTF-8: save the list as UTF-8")
    shown = found.get("name") or ""
    if not isinstance(shown, str):
        wrong = f"row {number}: name is a text, not {json.dumps(shown, ensure_ascii=False):.100}"
        return Row(number, None, {}, wrong)
    try:
        who = mailbox(str(found[column]), shown)
    except ValueError as error:
        return Row(number, None, {}, f"row {number}: {error}")
    size = sum(len(str(value)) for value in found.values())
    if size > MOST_BYTES:
        return Row(
            number, None, {}, f"row {number} has {size:,} characters, more than a row may have"
        )
    return Row(number, who, found)
