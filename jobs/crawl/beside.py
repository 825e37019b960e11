"""What takes long runs beside the event loop: in one thread for the process, one after the other.

The worst page takes far more memory than others. There is never more than one at a time.
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
    """What `make(*of)` returns, or raises; the event loop goes on meanwhile.

    A call that is waited for no longer is not begun, or ends by itself.
    """
    return await asyncio.get_running_loop().run_in_executor(_thread(os.getpid()), make, *of)


@cache
def _thread(process: int) -> ThreadPoolExecutor:
    """A fork has no thread of its parent's, but one of its own."""
    return ThreadPoolExecutor(1, f"beside-{process}")
