"""What was found in a page, a style sheet or a sitemap."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..address import too_long

MOST_LONG = 20
"""Addresses of one page that are too long, and are told."""


@dataclass
class Found:
    """Normalized addresses, each once, in the order of the page. pictures: with their alt text."""

    pages: dict[str, None] = field(default_factory=dict)
    sheets: dict[str, None] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    refresh: str | None = None
    """What the page leads to by itself (`meta http-equiv=refresh`), soon and for everybody."""
    left_out: int = 0
    """How many more addresses there are. Together they are too long."""
    long: dict[str, str] = field(default_factory=dict)
    """Addresses that are too long to be asked for, and their kinds."""

    def missed(self, kind: str, reference: str, base: str) -> None:
        """Remember a reference that can't be fetched, if its length is why."""
        if len(self.long) < MOST_LONG and (whole := too_long(reference, base)) is not None:
            self.long.setdefault(whole, kind)
