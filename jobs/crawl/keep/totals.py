"""How far a crawl is: the sums of its results, in one line.

The sums begin when the runner starts. The index at the end counts everything.
"""

from __future__ import annotations

from typing import Any

from queue_manager import Counts

from ...output.words import duration, size


class Totals:
    """The sums, while the crawl goes on.

    Attributes:
        whole: by the last counts, nothing has failed and nothing waits.
    """

    def __init__(self) -> None:
        self.pages = self.images = self.bytes = self.unchanged = self.skipped = 0
        self.whole = True

    def add(self, result: dict[str, Any]) -> None:
        """Add one result."""
        self.skipped += result.get("left_out", 0)
        if "skip" in result:
            self.skipped += 1
        elif "file" in result:
            self.images += 1
        elif "page" in result:
            self.pages += 1
        else:
            return
        self.unchanged += "unchanged" in result
        self.bytes += 0 if "unchanged" in result else result.get("bytes", 0)

    def line(self, counts: Counts) -> str:
        """`120 pages, 340 images, 12.3 MB, 45.0 addresses a second, 2 failed, about 30 s left`."""
        self.whole = not (counts.dead or counts.waiting or counts.leased or counts.delayed)
        parts = [f"{self.pages:,} pages", f"{self.images:,} images", size(self.bytes)]
        parts.append(f"{counts.per_s or 0.0:,.1f} addresses a second")
        if self.unchanged:
            parts.append(f"{self.unchanged:,} unchanged")
        if self.skipped:
            parts.append(f"{self.skipped:,} skipped")
        parts.append(f"{counts.dead:,} failed")
        if counts.left_s is not None and not self.whole:
            parts.append(f"about {duration(counts.left_s)} left")
        return "images: " + ", ".join(parts)
