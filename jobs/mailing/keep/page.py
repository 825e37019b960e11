"""The report of a campaign as a page of HTML."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from ...output import charts, pages
from .notes import Trouble

_SHOWN = 1000
_DOMAINS = 50
_REASONS = 20
_ADDRESS = re.compile(r"<[^\s<>]+@[^\s<>]+>|<?[^\s<>]+@[^\s<>]+[^\s<>.,;:)]>?")
_RETRY = re.compile(r"\bqm retry \d+ \d+")
_MOST_WORDS = 400
_NOT_SENT = ("refused", "unknown", "wrong", "suppressed", "not sent")


class Sums:
    """What became of the messages, in numbers.

    Attributes:
        states, domains: how many messages, by their state, by their domain and state.
        minutes: how many were sent, by the minute: epoch, s.
        first, last: when the first and the last one came to their state, epoch, s.
    """

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.domains: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.minutes: Counter[int] = Counter()
        self.first: float | None = None
        self.last: float | None = None

    def add(self, to: str, state: str, at: float | None) -> None:
        """Add a message. at: when it came to its state, epoch, s."""
        self.states[state] += 1
        self.domains[to.rpartition("@")[2]][state] += 1
        if at is None:
            return
        self.first = at if self.first is None else min(self.first, at)
        self.last = at if self.last is None else max(self.last, at)
        if state not in _NOT_SENT:
            self.minutes[int(at) // 60 * 60] += 1


def page_of(title: str, sums: Sums, troubles: Sequence[Trouble]) -> str:
    """The page.

    Args:
        title: the name of the campaign; empty for single messages.
        sums: of all messages.
        troubles: those that were not sent, or are unknown.
    """
    minutes = sums.minutes
    domains = sorted(sums.domains.items(), key=lambda pair: -pair[1].total())
    reasons = Counter((state_of(note), _reason(note.words)) for note in troubles)
    values = {
        "title": title or "Single messages",
        "states": [state for state, _ in sums.states.most_common()],
        "sums": sums.states,
        "total": sums.states.total(),
        "first": sums.first,
        "last": sums.last,
        "chart": charts.over_time(minutes, 60, "UTC", "message", "messages") if minutes else None,
        "reasons": reasons.most_common(_REASONS),
        "domain_count": len(domains),
        "domains": domains[:_DOMAINS],
        "more_domains": max(0, len(domains) - _DOMAINS),
        "troubles": [(note, state_of(note)) for note in troubles[:_SHOWN]],
        "more": max(0, len(troubles) - _SHOWN),
    }
    return pages.page(Path(__file__).with_name("report.html"), values)


def state_of(note: Trouble) -> str:
    """The state of a message by its last note. What waited to be tried again was not sent."""
    return "not sent" if note.state == "waiting" else note.state


def _reason(words: str) -> str:
    """What servers and this job say, without the recipient, the message and the task: messages
    with one reason are one row."""
    words = _RETRY.sub("qm retry RUN TASK", _ADDRESS.sub("…", words))
    return words[:_MOST_WORDS] or "no words"
