"""What became of a campaign: a line while it goes on, a table and a page at its end."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from queue_manager import Counts

from ...output.folder import put, replacing
from ...output.words import cell, counted, duration
from .notes import Notes, Trouble
from .page import Sums, page_of, state_of

COLUMNS = ("to", "state", "server", "words", "time")


class Totals:
    """The sums of the results since the runner started.

    repeated: how many rows of the list have the address of a row before them. Its key drops each.
    """

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.notes: Notes | None = None
        self.submit = ""
        self.repeated = 0

    def add(self, result: dict[str, Any]) -> None:
        """Add a result."""
        self.states[result["state"]] += 1

    def line(self, counts: Counts) -> str:
        """`mail: 120 sent, 2 refused, 100.0 a second, a.example waits (421 ...)`."""
        states = self.states
        parts = [f"{states['sent']:,} sent"]
        parts += [f"{states[name]:,} {name}" for name in ("written", "suppressed") if states[name]]
        parts.append(f"{counts.dead:,} refused or unknown")
        parts.append(f"{counts.per_s or 0.0:,.1f} messages a second")
        if counts.left_s is not None and counts.waiting + counts.leased + counts.delayed:
            parts.append(f"about {duration(counts.left_s)} left")
        held = self.notes.held() if self.notes is not None else []
        for one in held[:3]:
            wait = duration(max(0.0, one.until - time.time()))
            parts.append(f"{one.domain} waits {wait} ({one.words[:60]})")
        if len(held) > 3:
            parts.append(f"{len(held) - 3:,} more domains wait")
        return "mail: " + ", ".join(parts)

    def repeated_words(self) -> str:
        """The end of the line about a campaign that has ended, if addresses stand twice."""
        if not self.repeated:
            return ""
        rows = counted(self.repeated, "row", "rows")
        return f"; {rows} more for an address that stands in the list twice: it gets one message"


def write_report(
    out: str, title: str, results: Iterator[tuple[Any, Any]], submit: str = ""
) -> tuple[str, Path]:
    """Write report.csv and index.html; returns the sums in a line, and the page.

    submit: that of the run, if this process has made its tasks. What is noted of other submits is
    in their reports.

    Raises:
        OSError: the folder can't be written to.
    """
    folder = Path(out)
    troubles = _last_troubles(out)
    submits = {submit} - {""}
    sums = Sums()
    with replacing(folder / "report.csv") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for payload, result in results:
            to = str(payload.get("to", ""))
            troubles.pop(result.get("id", ""), None)
            submits.add(str(payload.get("submit", "")))
            sums.add(to, result["state"], result.get("at"))
            words = "sent before" if result.get("again") else result.get("words", "")
            row = (to, result["state"], result.get("server", ""), words, _time(result.get("at")))
            table.writerow([cell(text) for text in row])
        # A run whose runner was started anew, with no result at all, knows no submit: all is shown.
        shown = [note for note in troubles.values() if not submits or note.submit in submits]
        for note in shown:
            state = state_of(note)
            sums.add(note.to, state, note.at)
            table.writerow(
                [cell(text) for text in (note.to, state, "", note.words, _time(note.at))]
            )
    page = folder / "index.html"
    put(page, page_of(title, sums, shown))
    said = ", ".join(f"{count:,} {state}" for state, count in sums.states.most_common())
    return said or "no messages", page


def _last_troubles(out: str) -> dict[str, Trouble]:
    """The last note of each message, by its id."""
    last: dict[str, Trouble] = {}
    for note in Notes(out).troubles():
        if note.id not in last or note.at >= last[note.id].at:
            last[note.id] = note
    return last


def _time(at: float | None) -> str:
    return "" if at is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
