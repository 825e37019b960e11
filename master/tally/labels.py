"""Names as labels: the first ones, and one for all others, so that there are not too many."""

from __future__ import annotations

MOST_NAMES = 200
OTHER = "other"

QUEUE = "queue"
"""What the queue run is called whose tasks no job of ours runs."""


class Labels:
    """Which names are told by themselves."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        """The label of a name: the name itself, or `other` once there are too many."""
        name = name or QUEUE
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name
