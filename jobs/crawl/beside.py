"""Runs what takes long beside the event loop: one thread a process, one call after the other.

The worst page takes far more memory than others, so there is never more than one at a time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Made = TypeVar("Made")


async def beside(make: Callable[..., Made], *of: object) -> Made:
    """Return or raise what `make(*of)` does. The event loop goes on meanwhile.

    A call for which nobody waits any longer does not begin, or ends by itself.
    """
    return await asyncio.get_running_loop().run_in_executor(_thread(os.getpid()), make, *of)


@cache
def _thread(process: int) -> ThreadPoolExecutor:
    """The thread of a process. A fork has a thread of its own."""
    return ThreadPoolExecutor(1, f"beside-{process}")
