"""Dead letters whose texts are hard to show: escape codes, megabytes, what ASCII lacks."""

from queue_manager import Options, Retry

OPTIONS = Options(attempts=1)


print("\N{SNOWMAN} at import")


def tasks(s: str = ""):
    print("\N{SNOWMAN} in tasks")
    yield from ("escapes", "long", "retry", "print", "number")


def work(kind):
    if kind == "escapes":
        raise ValueError("a \x1b[31mred\x1b[0m \x9b31m one")
    if kind == "long":
        raise ValueError("begin" + "x" * 10_000_000 + "end")
    if kind == "retry":
        raise Retry(0)
    if kind == "print":
        print("é")
        return "printed"
    return 10**100_000


def collect(kind, result):
    print("\N{SNOWMAN} in collect")
