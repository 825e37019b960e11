"""Keys of some length: in tasks(), and in what follows."""

from collections.abc import Iterator

from queue_manager import Options, Result, Task

OPTIONS = Options(attempts=1)


def tasks(count: int, chars: int, follow: int = 0) -> Iterator[Task]:
    for n in range(count):
        yield Task((n, follow), key=f"{n:0{chars}}")


def work(payload: tuple[int, int]) -> object:
    n, follow = payload
    return Result(n, [Task((k, 0), key=f"f{k:0300}") for k in range(follow)])
