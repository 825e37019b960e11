"""Results and dead letters of many pages."""

from queue_manager import Options

OPTIONS = Options(attempts=1)


def tasks(count: int = 3000, dead: int = 0):
    for n in range(count):
        yield [n, n < dead]


def work(item):
    n, dead = item
    if dead:
        raise ValueError("x" * 2000)
    return f"{n}:" + "y" * 2000
