"""Many small worlds, from fixed seeds and from one that nobody has seen before."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.master.store_records import Engine, engine_of

from .play import STEPS, BadWorldError, in_files, play
from .truth import Violation
from .world import World

SEEDS = range(250)
PORTIONS = 5
LEAST_STEPS = 50_000

ON_DISK = (7, 57, 107)
"""The seeds of the worlds that each engine with a disk has."""


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return engine_of(request, tmp_path)


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_in_every_world_all_is_as_it_must_be(portion: int) -> None:
    """Nothing lost, nothing twice, no limit broken, nobody idle: see `checks` and `judge`.

    The worlds are many enough, and some of them have the real store.
    """
    size = len(SEEDS) // PORTIONS
    seeds = SEEDS[portion * size : (portion + 1) * size]
    assert sum(map(play, seeds)) >= LEAST_STEPS / PORTIONS
    assert any(map(in_files, seeds))


@pytest.mark.parametrize("seed", ON_DISK)
def test_a_world_on_disk_is_as_it_must_be(seed: int, engine: Engine) -> None:
    """The same worlds on each engine."""
    assert play(seed, STEPS, engine=engine) > STEPS


def test_a_world_of_a_new_seed_is_as_it_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.SystemRandom().randrange(1_000_000, 1_000_000_000)
    with capsys.disabled():
        print(f" seed {seed}", end="", flush=True)
    play(seed, 2 * STEPS)


def test_a_seed_gives_the_same_world_again() -> None:
    stories = []
    for _ in range(2):
        story: list[str] = []
        play(3, tell=story.append)
        stories.append(story)
    assert stories[0]
    assert stories[0] == stories[1]


def test_a_bad_world_tells_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def go_wrong(self: World, steps: int) -> None:
        self.tell("{} happens", "something")
        raise Violation("that must not be")

    monkeypatch.setattr(World, "play", go_wrong)
    with pytest.raises(BadWorldError) as caught:
        play(5, 20)
    text = str(caught.value)
    assert "something happens" in text
    assert "that must not be" in text
    assert "python -m tests.simulation --seed 5 --steps 20" in text
