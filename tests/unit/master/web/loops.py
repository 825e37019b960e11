"""Tests that need a loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

LIMIT_S = 60.0


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a loop of its own."""

    @functools.wraps(test)
    def run(*words: Any, **options: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*words, **options), LIMIT_S))

    return run
