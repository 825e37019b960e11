"""A set of many hashes: whatever was added is there, and nothing else."""

from __future__ import annotations

import random

import pytest

from jobs.mailing.keep import hashes
from jobs.mailing.keep.hashes import Hashes


def test_what_was_added_is_there_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "_PART", 100)
    chance = random.Random(3)
    numbers = [0, 2**64 - 1, *(chance.getrandbits(64) for _ in range(1234))]
    found = Hashes()
    for number in numbers + numbers[:500]:
        found.add(number)
    assert all(number in found for number in numbers)
    assert not any(chance.getrandbits(64) in found for _ in range(1000))
    assert not any((number + 1) % 2**64 in found for number in numbers[2:])
