"""Figures as tables of Markdown: a line each, or several of one subject in a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .figure import short

Record = dict[str, Any]
"""A figure as results.json has it."""

_VERDICTS = {True: "met", False: "**not met**", None: ""}


def lines(figures: Sequence[Record]) -> list[str]:
    """A table with a figure a line."""
    head = ["| figure | median | range | unit | bound | |", "|---|---|---|---|---|---|"]
    return [*head, *map(_line, figures)]


def grouped(figures: Sequence[Record]) -> list[str]:
    """Tables with a subject a line: the figures called `subject: measure` are its cells.

    Subjects with the same measures share a table. Figures whose subject has one measure alone are
    in a last table, a line each.
    """
    subjects: dict[str, dict[str, Record]] = {}
    for figure in figures:
        subject, _, measure = figure["name"].rpartition(": ")
        subjects.setdefault(subject, {})[measure] = figure
    tables: dict[tuple[str, ...], dict[str, dict[str, Record]]] = {}
    for subject, cells in subjects.items():
        tables.setdefault(tuple(cells), {})[subject] = cells
    found: list[str] = []
    alone: list[Record] = []
    for measures, rows in tables.items():
        if len(measures) == 1:
            alone += [cells[measures[0]] for cells in rows.values()]
        else:
            found += [*_table(measures, rows), ""]
    return [*found, *lines(alone)] if alone else found[:-1]


def _table(measures: Sequence[str], rows: dict[str, dict[str, Record]]) -> Iterator[str]:
    """A bound that all figures of a measure have is in the header, else it is beside the figure."""
    bounds = {measure: {cells[measure]["bound"] for cells in rows.values()} for measure in measures}
    shared = {measure: found.pop() for measure, found in bounds.items() if len(found) == 1}
    units = {measure: cells[measure]["unit"] for cells in rows.values() for measure in measures}
    heads = [
        f"{measure}, {units[measure]}" + (f" ({shared[measure]})" if shared.get(measure) else "")
        for measure in measures
    ]
    yield "| | " + " | ".join(heads) + " |"
    yield "|---" * (1 + len(measures)) + "|"
    for subject, cells in rows.items():
        texts = [_cell(cells[measure], measure in shared) for measure in measures]
        yield f"| {subject} | " + " | ".join(texts) + " |"


def _cell(figure: Record, shared: bool) -> str:
    said = [] if shared or not figure["bound"] else [figure["bound"]]
    if not shared or figure["met"] is False:
        said += filter(None, [_VERDICTS[figure["met"]]])
    return short(figure["median"]) + (f" ({', '.join(said)})" if said else "")


def _line(figure: Record) -> str:
    rounds = figure["rounds"]
    span = f"{short(min(rounds))} .. {short(max(rounds))}" if len(rounds) > 1 else ""
    cells = [
        figure["name"],
        short(figure["median"]),
        span,
        figure["unit"],
        figure["bound"],
        _VERDICTS[figure["met"]],
    ]
    return "| " + " | ".join(cells) + " |"
