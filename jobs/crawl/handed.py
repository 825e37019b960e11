"""Which links need not be handed in to the queue again, as far as this process knows for certain.

Most links of a page are those of the page before.
"""

from __future__ import annotations

import secrets

MOST_REMEMBERED = 200_000
"""Addresses that are in the queue. Above that the process forgets all, and hands them in again."""

MOST_UNSURE = 2_000
"""Visits of which no follow-up has come yet."""

Link = tuple[str, str, str]
"""Kind, address and alt text. A picture that a page links to and does not show is `linked`."""


class Handed:
    """The addresses that are in the queue for certain.

    The queue records a result and its follow-ups together. So a process that is given a follow-up
    of a visit knows that all tasks of that visit are recorded. It knows nothing of other visits to
    the same address: where a result was lost, the next visit may have found something else.
    """

    def __init__(self) -> None:
        self._mine = secrets.token_urlsafe(6)
        self._visits = 0
        self._recorded: set[str] = set()
        self._handed: dict[str, list[str]] = {}

    def visit(self) -> str:
        """A name for one visit, which its follow-ups carry."""
        self._visits += 1
        return f"{self._mine}{self._visits}"

    def came_from(self, visit: str) -> None:
        """A follow-up of that visit was given to this process."""
        self._recorded.update(self._handed.pop(visit, ()))
        if len(self._recorded) > MOST_REMEMBERED:
            self._recorded.clear()

    def fresh(self, links: list[Link]) -> list[Link]:
        """Those that must be handed in."""
        recorded = self._recorded
        return [link for link in links if link[1] not in recorded]

    def hand_in(self, visit: str, links: list[Link]) -> None:
        """The result of a visit is about to hand in these."""
        self._handed[visit] = [link[1] for link in links]
        if len(self._handed) > MOST_UNSURE:
            del self._handed[next(iter(self._handed))]
