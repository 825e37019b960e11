"""What is asked of the dead letters in a store of plain dicts."""

from __future__ import annotations

import msgspec

from master.failures import FailureGroup, FailurePage, GroupsSought, NewestPage, NewestSought
from queue_manager.job.failures import is_chosen
from tests.memory_kept import Kept, letter_of


def find_groups(kept: Kept, sought: GroupsSought) -> FailurePage:
    """As `Store.find_groups`."""
    groups = [
        (group, kept.runs[group.run].job)
        for group in sorted(kept.failures.by_number.values(), key=lambda g: -g.last_seq)
        if group.last_seq < sought.after and sought.run in (None, group.run)
    ]
    groups = [one for one in groups if sought.job in ("", one[1])]
    found: list[tuple[FailureGroup, str]] = []
    place = sought.after
    for looked, (group, job) in enumerate(groups):
        if len(found) == sought.limit or looked == sought.look:
            return FailurePage(found, place, complete=False)
        place = group.last_seq
        if group.may_have(sought.only):
            found.append((group, job))
    return FailurePage(found, place, complete=True)


def find_letters(kept: Kept, sought: NewestSought) -> NewestPage:
    """As `Store.find_letters`. It looks at all letters of the run."""
    dead = [s for s in kept.tracked.values() if s.run == sought.run and s.state == "dead"]
    found = []
    place = sought.after
    for record in sorted(dead, key=lambda s: -s.seq):
        letter = letter_of(record)
        if record.seq >= sought.after:
            continue
        if len(found) == sought.limit:
            return NewestPage(found, place, complete=False)
        place = record.seq
        if is_chosen(sought.only, letter):
            found.append(msgspec.structs.replace(letter, evidence="", printed="", raised=b""))
    return NewestPage(found, place, complete=True)
