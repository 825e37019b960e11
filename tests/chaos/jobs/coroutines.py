"""Eight at a time in one slot."""

import asyncio
import random

from diary import answer, execution

from queue_manager import Options

OPTIONS = Options(concurrency=8, losses=30)


def tasks(tag: str, count: int = 100, mean_s: float = 0.1):
    lengths = random.Random(tag)
    for n in range(count):
        yield [tag, str(n), min(lengths.expovariate(1 / mean_s), 1.0)]


async def work(task):
    tag, item, length_s = task
    with execution(tag, item):
        await asyncio.sleep(length_s)
    return answer(tag, item)
