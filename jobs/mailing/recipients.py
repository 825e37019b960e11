"""The recipients of a campaign, read from CSV or JSONL row by row: a million take no memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .addresses import Mailbox, mailbox

COLUMNS = ("email", "to", "address", "mail", "recipient")
"""The names that the column of addresses may have, whatever their case."""

MOST_BYTES = 256 * 1024
"""The most bytes of one row."""


class Row(NamedTuple):
    """A row. number: from 1, without the heading. wrong: why it is no recipient, if it is none."""

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
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        yield from _jsonl(file) if jsonl else _csv(path, file)


def _csv(path: str, file: Any) -> Iterator[Row]:
    heading = file.readline(MOST_BYTES)
    delimiter = max(",;\t|", key=heading.count)
    names = next(csv.reader([heading], delimiter=delimiter), [])
    names = [name.strip() for name in names]
    column = _column(names)
    if column is None:
        raise ValueError(
            f"{path} has no column of addresses: name one of {', '.join(COLUMNS)} in its first"
            f" line, which has {', '.join(names) or 'nothing'}"
        )
    reader = csv.DictReader(file, fieldnames=names, delimiter=delimiter, restval="")
    number = 0
    while True:
        try:
            found = next(reader, None)
        except csv.Error as error:
            number += 1
            yield Row(number, None, {}, f"row {number}: {error}")
            continue
        if found is None:
            return
        number += 1
        found.pop(None, None)  # more cells than the heading has
        yield _row(number, found, column)


def _jsonl(file: Any) -> Iterator[Row]:
    number = 0
    for line in file:
        if not line.strip():
            continue
        number += 1
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Row(number, None, {}, f"row {number} is no JSON: {error}")
            continue
        column = _column(list(found)) if isinstance(found, dict) else None
        if column is None:
            yield Row(number, None, {}, f"row {number} has no field called {COLUMNS[0]}")
            continue
        yield _row(number, found, column)


def _column(names: list[str]) -> str | None:
    by_name = {name.strip().lower(): name for name in reversed(names)}
    return next((by_name[name] for name in COLUMNS if name in by_name), None)


def _row(number: int, found: dict[str, Any], column: str) -> Row:
    try:
        who = mailbox(str(found[column]), str(found.get("name") or ""))
    except ValueError as error:
        return Row(number, None, {}, f"row {number}: {error}")
    size = sum(len(str(value)) for value in found.values())
    if size > MOST_BYTES:
        return Row(
            number, None, {}, f"row {number} has {size:,} characters, more than a row may have"
        )
    return Row(number, who, found)
