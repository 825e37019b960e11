"""The second step of a turn: each step changes what is in memory, and says what to publish.

It waits for nothing and reads nothing. Its result is in the broker's changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from queue_manager.errors import QueueError

from .steps import Publish, Step, UnpreparedError

STEPS = 2_000
STAGE_S = 0.02
"""How many steps a turn stages, and for how long. The other steps have the next turns, in order.
One turn holds up the loop for about three times that, with its commit and its answers.
"""

TURN_BYTES = 16 * 1024 * 1024
"""How many bytes of messages a turn stages, about. A busy disk may take a second for these. While
it does, the master reads nobody."""


@dataclass(slots=True)
class Staged:
    """What became of the steps.

    done: those that are staged, and what each has to publish. refused: those that have changed
    nothing, and why. left: those for the next turn, in their order. broken: the step that failed
    after it had changed something, by an error of ours. Then nothing of the turn may stay.
    """

    done: list[tuple[Step, Publish | None]] = field(default_factory=list)
    refused: list[tuple[Step, BaseException]] = field(default_factory=list)
    left: list[Step] = field(default_factory=list)
    broken: tuple[Step, BaseException] | None = None


def stage(steps: list[Step], mark: Callable[[], object], now: float, wall: float) -> Staged:
    """Stage steps one after the other. mark: returns equal values while nothing is changed."""
    staged = Staged()
    unprepared: set[int] = set()
    until, size_bytes = now + STAGE_S, 0
    for place, step in enumerate(steps):
        size_bytes += step.size_bytes
        if place and (size_bytes > TURN_BYTES or time.monotonic() > until):
            staged.left += steps[place:]
            break
        if unprepared and id(step.of) in unprepared:  # no step overtakes one of its sender
            staged.left.append(step)
            continue
        before = mark()
        try:
            staged.done.append((step, step.stage(now, wall)))
        except UnpreparedError:
            staged.left.append(step)
            if step.of is not None:
                unprepared.add(id(step.of))
        except BaseException as error:
            if before != mark():
                staged.broken = step, error
                break
            staged.refused.append((step, error))
    return staged


def is_ours(error: BaseException) -> bool:
    """Whether an error is a fault of the master's, and no refusal."""
    return not isinstance(error, QueueError)
