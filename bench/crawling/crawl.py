"""What one crawl took."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Crawl:
    """pages, images: that were fetched. s: seconds. cpu_s: of all its processes.

    parts: the same by process, where there are several.
    """

    pages: int
    images: int
    s: float
    cpu_s: float
    parts: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Pages and images a second."""
        return (self.pages + self.images) / self.s

    @property
    def cpu_ms(self) -> float:
        """CPU time of a page or an image, in ms: a figure for people."""
        return self.cpu_s / (self.pages + self.images) * 1000
