"""Each try writes its task, worker and time to the file `starts`, and runs until it is killed."""

import os
import time
from collections.abc import Iterator

from queue_manager import Options

OPTIONS = Options(losses=1_000_000)


def tasks(count: int, starts: str) -> Iterator[tuple[int, str]]:
    for number in range(count):
        yield number, starts


def work(payload: tuple[int, str]) -> None:
    number, starts = payload
    line = f"{number} {os.getppid()} {time.monotonic()}\n"
    file = os.open(starts, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    while True:
        time.sleep(3600)
