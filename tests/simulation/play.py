"""Worlds by their seeds, and what is said of one that went wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.unit.master.store_records import Engine, MemoryEngine, SqliteEngine

from .world import World, line

STEPS = 450


def in_files(seed: int) -> bool:
    """A few worlds have the real store."""
    return seed % 50 == 7


def engine_for(seed: int, folder: Path) -> Engine:
    """The engine of a seed's world. folder: for its files."""
    return SqliteEngine(folder) if in_files(seed) else MemoryEngine(folder)


class BadWorldError(AssertionError):
    """A world went wrong: how it was, and how to see it again."""


def play(
    seed: int,
    steps: int = STEPS,
    tell: Callable[[str], None] | None = None,
    engine: Engine | None = None,
) -> int:
    """Play one world; how many steps that took.

    engine: in place of the seed's own. It is empty, and is closed afterwards.

    Raises:
        BadWorldError: it went wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        engine = engine or engine_for(seed, Path(folder))
        world = World(seed, engine, tell)
        try:
            world.play(steps)
        except Exception as error:
            story = "\n".join(line(*entry) for entry in world.story)
            how = f"python -m tests.simulation --seed {seed}"
            how += f" --steps {steps}" if steps != STEPS else ""
            raise BadWorldError(
                f"{story}\n{type(error).__name__}: {error}\nagain: {how}"
            ) from error
        finally:
            engine.close()
        return world.steps
