"""A measured figure has rounds, their median, and often a bound that the median has to keep."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One line of the table. at_least, at_most: the bound of the median, if it has one."""

    name: str
    unit: str
    rounds: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def median(self) -> float:
        """The value that is compared with the bound."""
        return statistics.median(self.rounds)

    @property
    def bound(self) -> str:
        """The bound as the table shows it; empty without one."""
        if self.at_least is not None:
            return f">= {short(self.at_least)}"
        return "" if self.at_most is None else f"<= {short(self.at_most)}"

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the bound; None without one."""
        if self.at_least is not None:
            return self.median >= self.at_least
        return None if self.at_most is None else self.median <= self.at_most

    def record(self) -> dict[str, Any]:
        """The figure as results.json has it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "rounds": list(self.rounds),
            "bound": self.bound,
            "met": self.met,
        }


def ratio(
    name: str,
    above: Figure,
    below: Figure,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Figure:
    """Divide one figure by another, round by round. A slow moment of the machine slows both."""
    quotients = (a / b for a, b in zip(above.rounds, below.rounds, strict=True))
    return Figure(name, "x", tuple(quotients), at_least, at_most)


def table(figures: Iterable[Figure]) -> list[str]:
    """The table as lines of text. Each figure has one line."""
    row = "  {:<58} {:>9} {:>21} {:<8} {:>9}  {}"
    lines = [row.format("", "median", "range", "", "bound", "").rstrip()]
    for figure in figures:
        low, high = min(figure.rounds), max(figure.rounds)
        span = f"[{short(low)} .. {short(high)}]" if len(figure.rounds) > 1 else ""
        verdict = {True: "met", False: "NOT MET", None: ""}[figure.met]
        lines.append(
            row.format(
                figure.name, short(figure.median), span, figure.unit, figure.bound, verdict
            ).rstrip()
        )
    return lines


def short(value: float) -> str:
    """Three figures that count: 12,345, 12.3, 0.12."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
