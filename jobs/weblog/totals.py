"""How far a run is, in one line. The sums begin when the runner starts; the report has all."""

from __future__ import annotations

from typing import Any

from queue_manager import Counts


class Totals:
    """The sums, while the run goes on."""

    def __init__(self) -> None:
        self.lines = self.unparsable = self.ranges = self.planned = 0

    def add(self, payload: dict[str, Any], result: dict[str, Any]) -> None:
        """Add one result."""
        self.planned += result.get("ranges", 0)
        if "range" in payload:
            self.ranges += 1
            self.lines += result["lines"]
            self.unparsable += result["unparsable"]

    def line(self, counts: Counts) -> str:
        """`logs: 12,345,678 lines in 18 of 40 ranges, 3 unparsable, 0 failed, about 12 s left`."""
        of = f" of {self.planned:,}" if self.planned else ""
        parts = [f"{self.lines:,} lines in {self.ranges:,}{of} ranges"]
        parts.append(f"{self.unparsable:,} unparsable")
        parts.append(f"{counts.dead:,} failed")
        if counts.left_s is not None and counts.waiting + counts.leased + counts.delayed:
            parts.append(f"about {counts.left_s:,.0f} s left")
        return "logs: " + ", ".join(parts)
