"""Its tasks() gives more than a task may hold."""


def tasks():
    yield b"x" * 2_000_000


def work(n):
    return n
