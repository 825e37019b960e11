"""Its results can't travel."""

from queue_manager import Options

OPTIONS = Options(attempts=1)


def tasks():
    yield 1


def work(n):
    return object()
