"""When a chaos counts as drained: not before everything was given out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.driver import Chaos
from tests.chaos.verdict.evidence import RunStory


class Rig:
    """A chaos that is healed, and what its watch and its jobs' diary say."""

    def __init__(self, folder: Path, state: str) -> None:
        self.diary = folder / "diary"
        self.diary.write_text("")
        row = {"state": state, "done": 3}
        watch = SimpleNamespace(last={"at": 10.0, "runs": []}, active=set(), queue_waits=0)
        watch.row = lambda tag: row
        self.chaos: Any = Chaos.__new__(Chaos)
        self.chaos.watch = watch
        self.chaos.load = SimpleNamespace(asking=[], runs=[RunStory("gather", "gather1", [], {})])
        self.chaos.ground = SimpleNamespace(diary=self.diary)

    def collects(self, *items: str) -> None:
        with self.diary.open("a") as file:
            file.writelines(f"C gather1 {item} 7 6 1.0 right\n" for item in items)

    @property
    def drained(self) -> bool:
        return bool(self.chaos._drained(9.0))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, "done")


def test_an_ended_run_is_drained_when_all_of_it_was_collected(rig: Rig) -> None:
    """Its state is `done` before that; the judge must not end the master meanwhile."""
    assert not rig.drained
    rig.collects("0", "1", "1")
    assert not rig.drained
    rig.collects("2")
    assert rig.drained


def test_a_cancelled_run_owes_nothing_to_collect(tmp_path: Path) -> None:
    assert Rig(tmp_path, "cancelled").drained
