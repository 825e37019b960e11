"""Which fault comes when: Poisson times from a seed, the same for the same seed.

Victims are numbers that are turned into one of those who live at that moment.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

LEASE_S = 15.0
"""After this a frozen or vanished worker has been given up."""

WEIGHTS = {
    "kill slot": 14,
    "kill worker": 10,
    "kill master": 6,
    "kill runner": 5,
    "stop slot": 4,
    "stop worker": 6,
    "stop master": 4,
    "cut": 5,
    "cut one way": 5,
    "slow": 4,
    "reset": 4,
    "tear": 5,
    "desert": 4,
    "stranger": 10,
    "second master": 2,
    "new version": 4,
    "kill submit": 4,
    "kill client": 4,
    "scale": 3,
    "full disk": 3,
    "cancel": 2,
}
ON_DATABASE = {
    **{kind: w for kind, w in WEIGHTS.items() if kind not in ("second master", "full disk")},
    "kill database": 5,
    "end sessions": 5,
}
"""With the store in PostgreSQL: a second master stands by, and the disk is the server's."""

KILLS = {"kill slot": 60, "kill worker": 25, "kill master": 8, "kill runner": 7}


@dataclass(frozen=True)
class Fault:
    """One fault. pick: which victim; lasts_s: where that has a meaning."""

    at: float
    kind: str
    pick: float
    lasts_s: float


def poisson(
    seed: int, seconds: float, every_s: float, weights: dict[str, int] = WEIGHTS
) -> list[Fault]:
    """Faults of all kinds, so that each kind comes before one comes twice."""
    dice = random.Random(f"plan {seed}")
    times, at = [], 0.0
    while (at := at + dice.expovariate(1 / every_s)) < seconds:
        times.append(at)
    kinds = _kinds(dice, weights)
    return [_fault(dice, at, next(kinds), seconds - at) for at in times]


def _kinds(dice: random.Random, weights: dict[str, int]) -> Iterator[str]:
    order = list(weights)
    dice.shuffle(order)
    yield from order
    while True:
        yield dice.choices(list(weights), list(weights.values()))[0]


def _fault(dice: random.Random, at: float, kind: str, left_s: float) -> Fault:
    pick, lasts_s = dice.random(), dice.uniform(0.3, 3.0)
    if kind == "stop master":
        long = dice.random() < 0.2 and left_s > LEASE_S + 3.0
        lasts_s = dice.uniform(LEASE_S - 2.0, LEASE_S) if long else dice.uniform(1.0, 4.0)
    lasting = kind in ("stop worker", "cut", "cut one way", "stop slot")
    if lasting and dice.random() < 0.3 and left_s > LEASE_S + 3.0:
        lasts_s = LEASE_S + dice.uniform(0.0, 2.0)
    return Fault(at, kind, pick, min(lasts_s, max(left_s, 0.3)))


def kills(seed: int, count: int) -> list[Fault]:
    """SIGKILL only. `at` is how much of the work is done by then, from 0 to 1."""
    dice = random.Random(f"kills {seed}")
    times = sorted(dice.uniform(0.01, 0.95) for _ in range(count))
    kinds = dice.choices(list(KILLS), list(KILLS.values()), k=count)
    return [Fault(at, kind, dice.random(), 0.3) for at, kind in zip(times, kinds, strict=True)]
