"""Worlds by their seeds, and what is said of one that went wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from .world import World, line

STEPS = 450


def in_files(seed: int) -> bool:
    """A few worlds have the real store."""
    return seed % 50 == 7


class BadWorldError(AssertionError):
    """A world went wrong: how it was, and how to see it again."""


def play(seed: int, steps: int = STEPS, tell: Callable[[str], None] | None = None) -> int:
    """Play one world; how many steps that took. Raises BadWorldError."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed, Path(folder) if in_files(seed) else None, tell)
        try:
            world.play(steps)
        except Exception as error:
            story = "\n".join(line(*entry) for entry in world.story)
            how = f"python -m tests.simulation --seed {seed}"
            how += f" --steps {steps}" if steps != STEPS else ""
            raise BadWorldError(
                f"{story}\n{type(error).__name__}: {error}\nagain: {how}"
            ) from error
        return world.steps
