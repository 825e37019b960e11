"""A process that asks the master how it is, again and again, and prints each answer as JSON.

Run with the product on its path: `python watcher.py PORT KEY EVERY_S`. It is a client as any other.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import msgspec

from queue_manager.client.connection.link import Link
from queue_manager.errors import QueueError
from queue_manager.wire.messages import (
    AskRuns,
    AskSessions,
    AskStatus,
    Hello,
    RunList,
    SessionList,
    Status,
)
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.records import RunStatus


async def main(port: int, key: bytes, every_s: float) -> None:
    """Until it is killed."""
    hello = Hello("client", "watcher", os.getpid())
    link = Link(Masters([("127.0.0.1", port)]), key, lambda: hello, quiet=True)
    running = asyncio.create_task(link.run())
    while not running.done():
        await link.wait_up()
        try:
            answer = await asyncio.wait_for(_asked(link), 10.0)
        except (QueueError, TimeoutError, OSError):
            await asyncio.sleep(every_s)
            continue
        print(json.dumps({"at": time.monotonic(), **msgspec.to_builtins(answer)}), flush=True)
        await asyncio.sleep(every_s)


async def _asked(link: Link) -> dict[str, object]:
    """The parts of a status, with all runs and the first sessions."""
    status = await link.request(AskStatus, Status)
    sessions = await link.request(AskSessions, SessionList)
    runs: list[RunStatus] = []
    after, complete = 0, False
    while not complete:
        page = await link.request(lambda seq, after=after: AskRuns(seq, after), RunList)
        runs.extend(page.runs)
        after, complete = page.last, page.complete
    return {
        "refused": status.refused_outcomes,
        "up_s": status.up_s,
        "runs": [msgspec.structs.asdict(run) for run in runs],
        "sessions": [msgspec.structs.asdict(session) for session in sessions.sessions],
        "why": status.why,
    }


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2].encode(), float(sys.argv[3])))
