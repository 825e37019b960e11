"""Chooses dead letters, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from queue_manager.job.failures import is_chosen
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import DeadLetter

from ....failures import NewestPage, NewestSought
from ....reads import LetterPage, LettersSought
from ..database import Database
from ..failures import letters_in_order
from .results import rows_of_page

LOOK_BYTES = 256
"""How many bytes a look at a letter, or for one, counts for in a page. Each takes time."""


def choose_letters(db: Database, sought: LettersSought) -> LetterPage:
    """A page of the dead letters that a filter chooses.

    Without ranges of tasks, places are numbers of dead letters. With them, places are tasks: who
    names a few tasks does not wait until a million letters have been looked at. Nor does who names
    an exception or a place: only letters of such groups are looked at.
    """
    found: list[tuple[int, str | None]] = []
    size = 0
    looked, only = (_in_ranges if sought.only.tasks else _behind)(db, sought)
    for place, letter, group in looked:
        size += LOOK_BYTES
        if letter is not None:
            size += len(letter.error) + len(letter.evidence) + len(letter.raised)
            if is_chosen(only, letter):
                found.append((letter.task, group))
        if size >= sought.limit_bytes:
            return LetterPage(found, place, complete=False)
    return LetterPage(found, 0, complete=True)


def find_letters(db: Database, sought: NewestSought) -> NewestPage:
    """As `Store.find_letters`."""
    parts = _parts(sought.only) | {"shown": "error", "order": "DESC"}
    between = (0, sought.after - 1)
    rows, only = letters_in_order(db, sought.run, sought.only, parts, between, sought.look + 1)
    letters: list[DeadLetter] = []
    place, looked = sought.after, 0
    for row in rows:
        if len(letters) == sought.limit or looked == sought.look:
            return NewestPage(letters, place, complete=False)
        *known, attempts, losses, error = row
        letter = _letter(*known)
        place, looked = letter.seq, looked + 1
        if is_chosen(only, letter):
            told = {"attempts": attempts, "losses": losses, "error": error}
            told |= {"evidence": "", "raised": b""}
            letters.append(msgspec.structs.replace(letter, **told))
    return NewestPage(letters, place, complete=True)


_Looked = tuple[int, DeadLetter | None, str | None]
"""A place, the dead letter that is there, if one is, and its group."""


def _behind(db: Database, sought: LettersSought) -> tuple[Iterator[_Looked], FailureFilter]:
    """Dead letters in the order of their numbers, and what they are asked."""
    between = (sought.after, sought.until)
    parts, look = _parts(sought.only), rows_of_page(sought.limit_bytes, LOOK_BYTES)
    rows, only = letters_in_order(db, sought.run, sought.only, parts, between, look)
    letters = ((_letter(*row[:_KNOWN]), row[_KNOWN - 1]) for row in rows)
    return ((letter.seq, letter, group) for letter, group in letters), only


def _in_ranges(db: Database, sought: LettersSought) -> tuple[Iterator[_Looked], FailureFilter]:
    return _looked_in_ranges(db, sought), sought.only


def _looked_in_ranges(db: Database, sought: LettersSought) -> Iterator[_Looked]:
    """Dead letters of ranges of tasks, in the order of tasks; other tracked tasks as none."""
    parts, look = _parts(sought.only), rows_of_page(sought.limit_bytes, LOOK_BYTES)
    for start, stop in sought.only.tasks:
        if stop <= sought.after + 1:
            continue
        span = {"start": max(start, sought.after + 1), "stop": stop}
        rows = db.stream("letters_in_range", parts, run=sought.run, look=look, **span)
        for *known, state in rows:
            letter = _letter(*known)
            is_sought = state == "dead" and letter.seq <= sought.until
            yield letter.task, letter if is_sought else None, known[-1]
        yield stop - 1, None, None


def _parts(only: FailureFilter) -> dict[str, str]:
    """What a filter looks at: the store need not read long texts that it does not need."""
    error, raised = ("error", "raised") if only.exception else ("''", "{no_bytes}")
    evidence = "evidence" if only.place else "''"
    return {"error": error, "raised": raised, "evidence": evidence, "shown": "''", "order": ""}


_KNOWN = 8
"""How many columns `_letter` is made of. The last is the group."""


def _letter(
    seq: int,
    task: int,
    died_at: float,
    worker: str,
    error: str,
    raised: bytes,
    evidence: str,
    _group: str | None,
) -> DeadLetter:
    return DeadLetter(task, 0, 0, error, evidence, worker, raised=raised, seq=seq, died_at=died_at)
