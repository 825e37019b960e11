"""Environments that somebody in the master waits for, in threads that nothing else uses.

Making an environment takes up to half an hour. The loop's own threads serve all else that blocks,
so those who wait for environments could fill them. Here, all who wait for one environment share
one thread.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from queue_manager.environments.environments import Environments
from queue_manager.environments.uv import ENDS
from queue_manager.errors import NoEnvironmentError
from queue_manager.job.needs import Needs

MOST = 8
"""How many environments are made at once. Others wait for their turn."""


class Sought:
    """Gets environments for waiters. environments: those of this host."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._threads = ThreadPoolExecutor(MOST, "environments")
        self._sought: dict[tuple[Needs, bool], asyncio.Future[str]] = {}

    async def get(self, needs: Needs, at_once: bool) -> str:
        """The folder of an environment. Raises as `Environments.get`.

        It goes on being made when this call is cancelled: the next one finds it.
        """
        key = needs, at_once
        if key not in self._sought:
            find = partial(self._environments.get, needs, at_once=at_once)
            try:
                found = asyncio.get_running_loop().run_in_executor(self._threads, find)
            except RuntimeError:  # it was closed
                raise NoEnvironmentError(ENDS) from None
            self._sought[key] = found
            found.add_done_callback(lambda _: self._sought.pop(key))
            # A failure that nobody waits for any more is no news: the next one tries again.
            found.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._sought[key])

    def close(self) -> None:
        """End what is being made, and begin no more."""
        self._environments.close()  # what waits for a thread ends as soon as it has one
        self._threads.shutdown(wait=False)
