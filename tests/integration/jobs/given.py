"""Its one task is what its arguments are, values as they came."""


def tasks(count: int = 1, **others):
    yield [count, sorted(others.items())]


def work(arguments):
    return repr(arguments)
