"""Finds ended runs by their job, their state, or a text in them.

The texts of an ended run are in a narrow row besides: SQLite passes over many of these in the time
that it takes to read a few arguments in the rows of runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ....changes import LoadedRun, RunRecord
from ....reads import RunPage, RunsSought, lowered, texts_of
from ..database import Database
from .loading import load_runs

_STEP = 250
"""How many runs a statement looks at. It looks at each before it says what it has found."""

_LOOK_BYTES = 8 * 1024 * 1024
"""A page ends when it has looked at so much text. It is a page of 100,000 short texts, too."""

_MOST_BYTES = 4_096
"""Longer texts are in the row of their run alone: they would take their place on disk twice."""


def find_ended(db: Database, sought: RunsSought) -> RunPage:
    """As `Store.find_ended`."""
    if not sought.text:
        return _first(db, sought)
    parts, values = _where(sought)
    look_parts = parts | {"last": "MAX" if sought.is_back else "MIN"}
    text = _text(sought.text)
    found: list[int] = []
    left, size = sought.look, 0
    while left > 0 and len(found) < sought.limit and size < _LOOK_BYTES:
        look = min(left, _STEP)
        (row,) = db.rows("look_for_text", look_parts, look=look, **values, **text)
        looked, last, step_size, numbers = row
        if numbers:
            found += sorted(map(int, numbers.split(",")), reverse=not sought.is_back)
        if looked:
            values["after"] = last
        if looked < look:
            break
        left, size = left - looked, size + (step_size or 0)
    if len(found) >= sought.limit:
        found = found[: sought.limit]
        values["after"] = found[-1]
    behind = db.one("ended_numbers", parts, look=1, **values)
    return RunPage(_loaded(db, found, sought), values["after"], behind is None)


def _first(db: Database, sought: RunsSought) -> RunPage:
    """The runs behind a place, whatever their texts are."""
    parts, values = _where(sought)
    found = [run for (run,) in db.rows("ended_numbers", parts, look=sought.limit + 1, **values)]
    runs = found[: sought.limit]
    place = runs[-1] if runs else sought.after
    return RunPage(_loaded(db, runs, sought), place, len(found) <= sought.limit)


def _where(sought: RunsSought) -> tuple[dict[str, str], dict[str, Any]]:
    """Which runs are looked at, and in which order: parts of a statement, and their values."""
    values: dict[str, Any] = {"after": sought.after}
    which = ["id > :after" if sought.is_back else "id < :after"]
    if sought.job:
        which.append("job = :job")
        values["job"] = sought.job
    if sought.state:
        which.append("state = :state")
        values["state"] = sought.state
    order = "id" if sought.is_back else "id DESC"
    return {"which": "AND " + " AND ".join(which), "order": order}, values


def _text(text: str) -> dict[str, Any]:
    """A text that is sought, as values: what runs have in them, or the number of one."""
    is_number = text.isdecimal() and len(text) < 19
    return {
        "number": int(text) if is_number else -1,
        "text": lowered(text),
        "lower": lowered(text).decode(),
    }


def _loaded(db: Database, found: list[int], sought: RunsSought) -> list[LoadedRun]:
    by_number = {run.record.id: run for run in load_runs(db, found)}
    runs = [by_number[number] for number in found]
    return [run for run in runs if sought.has_text(run.record)]


# --- the texts ---


def sought_in(record: RunRecord) -> bytes | None:
    """The texts of a run, one after the other. None: they are too long to be kept twice."""
    text = b"\0".join(texts_of(record))
    return text if len(text) <= _MOST_BYTES else None


def keep_texts(db: Database, ended: Iterable[RunRecord]) -> None:
    """Write the texts of ended runs, in the transaction that is open. They never change."""
    found = ((record.id, sought_in(record)) for record in ended)
    rows = ((run, text) for run, text in found if text is not None)
    db.insert("texts", ("run", "text"), rows, "ON CONFLICT DO NOTHING")


def drop_texts(db: Database, runs: Iterable[int]) -> None:
    """Delete the texts of runs that are not found any more."""
    for run in runs:
        db.run("drop_texts", run=run)
