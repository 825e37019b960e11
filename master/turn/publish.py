"""The fourth step of a turn: what is on disk becomes visible, and followers act on it.

Owns the order of these acts. An error in one of them does not stop the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ..broker import Broker
from ..broker.undo import UndoLog
from ..changes import Changes
from .answer import LATER, OURS, guarded
from .payloads import Payloads
from .read_ahead import ReadAhead
from .steps import Publish, Step


class Follower(Protocol):
    """Acts at the end of each turn on what became visible in it."""

    def after_commit(self, changes: Changes, now: float) -> None:
        """The changes of a turn are visible. now: monotonic seconds."""


@dataclass(slots=True)
class _Answer:
    """The answer to a step, and what is published before."""

    step: Step
    publish: Publish | None
    answer: Any = None

    def publish_now(self) -> None:
        if self.publish is not None:
            self.answer = self.publish()

    def send(self) -> None:
        self.step.reply.send(self.answer)


class Publishing:
    """Makes turns visible.

    followers: are called after each commit, in their order. Those who hand out leases come first,
    so that an answer can carry the leases of its own turn.
    """

    def __init__(
        self, broker: Broker, undo: UndoLog, payloads: Payloads, read_ahead: ReadAhead
    ) -> None:
        self._broker = broker
        self._undo = undo
        self._payloads = payloads
        self._read_ahead = read_ahead
        self.followers: list[Follower] = []

    def publish(
        self, changes: Changes, done: Iterable[tuple[Step, Publish | None]], now: float
    ) -> list[_Answer]:
        """Make visible what a turn has changed; returns what is to be answered."""
        guarded(partial(self._payloads.remember, changes))
        guarded(self._broker.committed)
        guarded(self._undo.committed)
        answers: list[_Answer] = []
        for step, publish in done:
            answer = _Answer(step, publish)
            if not guarded(answer.publish_now):
                guarded(partial(step.reply.refuse, OURS))
            elif answer.answer is not LATER:
                answers.append(answer)
        guarded(self._read_ahead.refill)
        for follower in self.followers:
            guarded(partial(follower.after_commit, changes, now))
        return answers

    def answer(self, answers: list[_Answer]) -> None:
        """The last step: answer each step."""
        for answer in answers:
            guarded(answer.send)
