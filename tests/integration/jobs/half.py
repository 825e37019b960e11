"""A job whose tasks() fails half way."""


def tasks():
    yield from range(5)
    raise RuntimeError("no more")


def work(n):
    return n
