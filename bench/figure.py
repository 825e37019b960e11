"""A measured figure: its rounds, their median, and the bound that it has to keep."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One line of the table. least, most: the bound of the median, where there is one."""

    name: str
    unit: str
    rounds: tuple[float, ...]
    least: float | None = None
    most: float | None = None

    @property
    def median(self) -> float:
        """What the bound is for."""
        return statistics.median(self.rounds)

    @property
    def bound(self) -> str:
        """The bound in words."""
        if self.least is not None:
            return f">= {_short(self.least)}"
        return "" if self.most is None else f"<= {_short(self.most)}"

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the bound; None without one."""
        if self.least is not None:
            return self.median >= self.least
        return None if self.most is None else self.median <= self.most

    def record(self) -> dict[str, Any]:
        """As it stands in results.json."""
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
    least: float | None = None,
    most: float | None = None,
) -> Figure:
    """Round by round, one figure through another: what a machine's mood does to both cancels."""
    quotients = (a / b for a, b in zip(above.rounds, below.rounds, strict=True))
    return Figure(name, "x", tuple(quotients), least, most)


def table(figures: Iterable[Figure]) -> list[str]:
    """Lines of text, a figure each."""
    row = "  {:<58} {:>9} {:>21} {:<8} {:>9}  {}"
    lines = [row.format("", "median", "range", "", "bound", "").rstrip()]
    for figure in figures:
        low, high = min(figure.rounds), max(figure.rounds)
        span = f"[{_short(low)} .. {_short(high)}]" if len(figure.rounds) > 1 else ""
        verdict = {True: "met", False: "NOT MET", None: ""}[figure.met]
        lines.append(
            row.format(
                figure.name, _short(figure.median), span, figure.unit, figure.bound, verdict
            ).rstrip()
        )
    return lines


def _short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
