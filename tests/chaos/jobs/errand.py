"""The tasks of stock clients: it gives none of its own."""

import time

from diary import answer, execution

from queue_manager import Options

OPTIONS = Options(losses=30)


def tasks():
    return iter(())


def work(task):
    tag, item, length_s = task
    with execution(tag, item):
        time.sleep(length_s)
    return answer(tag, item)
