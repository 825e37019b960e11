"""What one crawl took."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from .command import Command


@dataclass(frozen=True)
class Crawl:
    """pages, images: that were fetched. s: seconds. cpu_s: of all its processes.

    parts_s: the same by process, where there are several. whole: its command, where it has one.
    """

    pages: int
    images: int
    s: float
    cpu_s: float
    parts_s: list[float] = field(default_factory=list)
    whole: Command | None = None

    def lasting(self, s: float) -> Crawl:
        """The same crawl with another time."""
        return dataclasses.replace(self, s=s)

    @property
    def rate(self) -> float:
        """Pages and images a second."""
        return (self.pages + self.images) / self.s

    @property
    def cpu_ms(self) -> float:
        """CPU time of a page or an image, in ms: a figure for people."""
        return self._each_ms(self.cpu_s)

    @property
    def parts_ms(self) -> list[float]:
        """CPU time of a page or an image by process, in ms."""
        return [self._each_ms(part) for part in self.parts_s]

    def _each_ms(self, cpu_s: float) -> float:
        return cpu_s / (self.pages + self.images) * 1000
