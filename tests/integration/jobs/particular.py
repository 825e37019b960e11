"""tasks() refuses the argument before it yields, or fails behind its first yield."""


def tasks(out: str = "", late: bool = False):
    if late:
        yield 1
    raise ValueError(f"out={out!r} is not writable")


def work(n):
    return n
